import { z } from 'zod';
import { type AugmentationPolicy, paperAugmentation } from '../data/augment.js';

/** The keys of the configuration that say how views are changed in colour and sharpness, and mirrored. */

/** One value for all views, or one for the even views of each size (the first, the third, ...) and one for the odd. */
function perView(value: z.ZodNumber, what: string) {
  return z.union([value, z.tuple([value, value])], {
    error: `Invalid input: expected ${what}, or two: [even views, odd views]`,
  });
}

const probability = () => perView(z.number().min(0).max(1), 'a probability from 0 to 1');
const strength = () => perView(z.number().min(0), 'a strength of at least 0');

const [even, odd] = paperAugmentation;

/** In pixels. A larger blur costs no more, but leaves nothing visible. */
const MOST_SIGMA = 100;

export const augmentationSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('false: views are crops and nothing else, neither flipped nor changed.'),
    flip: probability()
      .default(even.flipProbability)
      .describe(
        'Probability of mirroring left to right. Here and below: one number, or two, for even and for odd views.',
      ),
    jitter: z
      .strictObject({
        probability: probability()
          .default(even.jitterProbability)
          .describe('Probability of changing brightness, contrast, saturation and hue, in random order.'),
        brightness: strength()
          .default(even.jitterStrength.brightness)
          .describe('The factor is uniform in 1 - s to 1 + s, not below 0; 0 leaves it out.'),
        contrast: strength().default(even.jitterStrength.contrast).describe('As brightness.'),
        saturation: strength().default(even.jitterStrength.saturation).describe('As brightness.'),
        hue: perView(z.number().min(0).max(0.5), 'a strength from 0 to 0.5')
          .default(even.jitterStrength.hue)
          .describe('The turn of the hue is uniform in -s to s, in turns of the colour circle.'),
      })
      .prefault({}),
    greyscale: probability().default(even.greyscaleProbability).describe('Probability of dropping the colour.'),
    blur: z
      .strictObject({
        probability: probability()
          .default([even.blurProbability, odd.blurProbability])
          .describe('Probability of Gaussian blur.'),
        sigma: z
          .tuple([z.number().gt(0).max(MOST_SIGMA), z.number().gt(0).max(MOST_SIGMA)])
          .default([...even.blurSigma])
          .describe('Its standard deviation is uniform between these, in pixels of the view.'),
      })
      .prefault({}),
    solarize: z
      .strictObject({
        probability: probability()
          .default([even.solarizeProbability, odd.solarizeProbability])
          .describe('Probability of inverting values from the threshold on.'),
        threshold: z
          .int()
          .min(0)
          .max(255)
          .default(even.solarizeThreshold)
          .describe('Values from this on, of 0 to 255, are inverted.'),
      })
      .prefault({}),
  })
  .prefault({});

export type AugmentationKeys = z.output<typeof augmentationSchema>;

/** What is wrong with the keys together. */
export function augmentationProblems({
  blur,
}: AugmentationKeys): { readonly path: string[]; readonly message: string }[] {
  const [least, greatest] = blur.sigma;
  if (least <= greatest) return [];
  return [
    {
      path: ['augmentation', 'blur', 'sigma'],
      message: `the first standard deviation ${least} exceeds the second ${greatest}`,
    },
  ];
}

/** What happens to the even and to the odd views. */
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
