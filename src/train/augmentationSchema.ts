import { z } from 'zod';
import { type AugmentationPolicy, paperAugmentation } from '../data/augment.js';

/** The configuration of augmentations: flips, colour changes, blur. */

/** One value for all views, or two: for the even views of each size (the first, the third, ...) and for the odd ones. */
function perView(value: z.ZodNumber, what: string) {
  return z.union([value, z.tuple([value, value])], {
    error: `Invalid input: expected ${what}, or two: [even views, odd views]`,
  });
}

const probability = () => perView(z.number().min(0).max(1), 'a probability from 0 to 1');
const strength = () => perView(z.number().min(0), 'a strength of at least 0');

const [even, odd] = paperAugmentation;

/** In pixels. A larger blur is not more expensive (three box passes), but leaves nothing visible. */
const MAX_SIGMA = 100;

export const augmentationSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('false: views are plain crops, neither flipped nor changed.'),
    flip: probability()
      .default(even.flipProbability)
      .describe('Probability of a horizontal flip. Here and below: one value, or two, for even and odd views.'),
    jitter: z
      .strictObject({
        probability: probability()
          .default(even.jitterProbability)
          .describe('Probability of colour jitter: brightness, contrast, saturation and hue, in random order.'),
        brightness: strength()
          .default(even.jitterStrength.brightness)
          .describe('Strength s: the factor is uniform in 1 - s to 1 + s, but at least 0. 0 disables it.'),
        contrast: strength().default(even.jitterStrength.contrast).describe('As brightness.'),
        saturation: strength().default(even.jitterStrength.saturation).describe('As brightness.'),
        hue: perView(z.number().min(0).max(0.5), 'a strength from 0 to 0.5')
          .default(even.jitterStrength.hue)
          .describe('Strength s: the hue shift is uniform in -s to s, as a fraction of the colour circle.'),
      })
      .prefault({}),
    greyscale: probability().default(even.greyscaleProbability).describe('Probability of conversion to greyscale.'),
    blur: z
      .strictObject({
        probability: probability()
          .default([even.blurProbability, odd.blurProbability])
          .describe('Probability of Gaussian blur.'),
        sigma: z
          .tuple([z.number().gt(0).max(MAX_SIGMA), z.number().gt(0).max(MAX_SIGMA)])
          .default([...even.blurSigma])
          .describe('Minimum and maximum standard deviation in pixels of the view; drawn uniformly.'),
      })
      .prefault({}),
    solarize: z
      .strictObject({
        probability: probability()
          .default([even.solarizeProbability, odd.solarizeProbability])
          .describe('Probability of solarization, which inverts values at and above the threshold.'),
        threshold: z
          .int()
          .min(0)
          .max(255)
          .default(even.solarizeThreshold)
          .describe('Values at and above this, from 0 to 255, are inverted.'),
      })
      .prefault({}),
  })
  .prefault({});

export type AugmentationKeys = z.output<typeof augmentationSchema>;

/** Problems of the keys in combination. */
export function augmentationProblems({
  blur,
}: AugmentationKeys): { readonly path: string[]; readonly message: string }[] {
  const [min, max] = blur.sigma;
  if (min <= max) return [];
  return [
    {
      path: ['augmentation', 'blur', 'sigma'],
      message: `the minimum ${min} exceeds the maximum ${max}`,
    },
  ];
}

/** The augmentation policies of the even and of the odd views. */
export function policiesOf(keys: AugmentationKeys): readonly [AugmentationPolicy, AugmentationPolicy] {
  const policyOf = (view: 0 | 1): AugmentationPolicy => {
    const own = (value: number | readonly [number, number]) => (typeof value === 'number' ? value : value[view]);
    const { flip, jitter, greyscale, blur, solarize, enabled } = keys;
    const chance = (value: number | readonly [number, number]) => (enabled ? own(value) : 0);
    return {
      flipProbability: chance(flip),
      jitterProbability: chance(jitter.probability),
      jitterStrength: {
        brightness: own(jitter.brightness),
        contrast: own(jitter.contrast),
        saturation: own(jitter.saturation),
        hue: own(jitter.hue),
      },
      greyscaleProbability: chance(greyscale),
      blurProbability: chance(blur.probability),
      blurSigma: blur.sigma,
      solarizeProbability: chance(solarize.probability),
      solarizeThreshold: solarize.threshold,
    };
  };
  return [policyOf(0), policyOf(1)];
}
