/** The method's changes of colour and sharpness, drawn first and applied later (method: section 4.1 and VICReg's). */

import type { RandomStream } from '../tensor/random.js';
import { gaussianBlur } from './blur.js';
import { adjustBrightness, adjustContrast, adjustSaturation, greyscale, solarize } from './color.js';
import { adjustHue } from './hue.js';

type JitterOperation = 'brightness' | 'contrast' | 'saturation' | 'hue';

/** What may happen to a view, and how likely. */
export interface AugmentationPolicy {
  /** Probability of mirroring left to right. */
  readonly flipProbability: number;
  /** Probability of colour jitter. */
  readonly jitterProbability: number;
  /** Brightness, contrast and saturation factors are uniform in [1 - s, 1 + s] (not below 0), hue in [-s, s] turns. */
  readonly jitterStrength: Readonly<Record<JitterOperation, number>>;
  /** Probability of dropping the colour. */
  readonly greyscaleProbability: number;
  /** Probability of Gaussian blur. */
  readonly blurProbability: number;
  /** Least and greatest standard deviation of the blur in pixels of the view. */
  readonly blurSigma: readonly [number, number];
  /** Probability of solarization. */
  readonly solarizeProbability: number;
  /** Values from this on are inverted. */
  readonly solarizeThreshold: number;
}

const common = {
  flipProbability: 0.5,
  jitterProbability: 0.8,
  jitterStrength: { brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 },
  greyscaleProbability: 0.2,
  blurSigma: [0.1, 2],
  solarizeThreshold: 128,
} as const;

/** The paper's values, for the even views of a size (the first, the third, ...) and for the odd ones. */
export const paperAugmentation: readonly [even: AugmentationPolicy, odd: AugmentationPolicy] = [
  { ...common, blurProbability: 1, solarizeProbability: 0 },
  { ...common, blurProbability: 0.1, solarizeProbability: 0.2 },
];

/** Nothing but the crop. */
export const noAugmentation: AugmentationPolicy = {
  ...common,
  flipProbability: 0,
  jitterProbability: 0,
  greyscaleProbability: 0,
  blurProbability: 0,
  solarizeProbability: 0,
};

/** All that was drawn for one view; mirroring is not here, as it belongs to the crop. */
export interface AugmentationParameters {
  /** In the order in which they are applied; empty without jitter. */
  readonly jitter: readonly { readonly operation: JitterOperation; readonly factor: number }[];
  readonly greyscale: boolean;
  /** Pixels; undefined without blur. */
  readonly blurSigma: number | undefined;
  /** Values from this on are inverted; undefined without solarization. */
  readonly solarize: number | undefined;
}

const operations: readonly JitterOperation[] = ['brightness', 'contrast', 'saturation', 'hue'];

/** Draws the changes of one view. */
export function drawAugmentation(random: RandomStream, policy: AugmentationPolicy): AugmentationParameters {
  const jittered = random.bernoulli(policy.jitterProbability);
  const order = [...random.permutation(operations.length)].map((i) => operations[i]!);
  const jitter = order.map((operation) => {
    const strength = policy.jitterStrength[operation];
    const factor =
      operation === 'hue'
        ? random.uniform(-strength, strength)
        : random.uniform(Math.max(0, 1 - strength), 1 + strength);
    return { operation, factor };
  });
  const grey = random.bernoulli(policy.greyscaleProbability);
  const blurred = random.bernoulli(policy.blurProbability);
  const sigma = random.uniform(...policy.blurSigma);
  return {
    // torchvision leaves out an operation of strength 0; for hue this matters, as even a turn of 0 rounds.
    jitter: jittered ? jitter.filter(({ operation }) => policy.jitterStrength[operation] > 0) : [],
    greyscale: grey,
    blurSigma: blurred ? sigma : undefined,
    solarize: random.bernoulli(policy.solarizeProbability) ? policy.solarizeThreshold : undefined,
  };
}

const jitterFunctions: Readonly<Record<JitterOperation, (pixels: Uint8Array, factor: number) => void>> = {
  brightness: adjustBrightness,
  contrast: adjustContrast,
  saturation: adjustSaturation,
  hue: adjustHue,
};

/** Applies what was drawn to interleaved 8-bit RGB, in place: jitter, greyscale, blur, solarize. */
export function augment(pixels: Uint8Array, width: number, height: number, drawn: AugmentationParameters): void {
  for (const { operation, factor } of drawn.jitter) jitterFunctions[operation](pixels, factor);
  if (drawn.greyscale) greyscale(pixels);
  if (drawn.blurSigma !== undefined) gaussianBlur(pixels, width, height, drawn.blurSigma);
  if (drawn.solarize !== undefined) solarize(pixels, drawn.solarize);
}
