/**
 * Colour and blur augmentations of the method (VICRegL, section 4.1, and VICReg). The parameters are drawn first and applied
 * later.
 */

import type { RandomStream } from '../tensor/random.js';
import { gaussianBlur } from './blur.js';
import { adjustBrightness, adjustContrast, adjustSaturation, greyscale, solarize } from './color.js';
import { adjustHue } from './hue.js';

type JitterOperation = 'brightness' | 'contrast' | 'saturation' | 'hue';

/** Probabilities and ranges of the augmentations of a view. */
export interface AugmentationPolicy {
  /** Probability of a horizontal flip. */
  readonly flipProbability: number;
  /** Probability of colour jitter. */
  readonly jitterProbability: number;
  /**
   * Strength s of each operation. Factors of brightness, contrast and saturation are uniform in [max(0, 1 - s), 1 + s]; the hue
   * shift is uniform in [-s, s] turns.
   */
  readonly jitterStrength: Readonly<Record<JitterOperation, number>>;
  /** Probability of conversion to greyscale. */
  readonly greyscaleProbability: number;
  /** Probability of Gaussian blur. */
  readonly blurProbability: number;
  /** Minimum and maximum standard deviation of the blur, in pixels of the view. */
  readonly blurSigma: readonly [number, number];
  /** Probability of solarization. */
  readonly solarizeProbability: number;
  /** Values greater than or equal to this are inverted. */
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

/**
 * The paper's policies: one for views with an even index among those of their size (the first, the third, ...), one for odd ones.
 */
export const paperAugmentation: readonly [even: AugmentationPolicy, odd: AugmentationPolicy] = [
  { ...common, blurProbability: 1, solarizeProbability: 0 },
  { ...common, blurProbability: 0.1, solarizeProbability: 0.2 },
];

/** A policy that only crops. */
export const noAugmentation: AugmentationPolicy = {
  ...common,
  flipProbability: 0,
  jitterProbability: 0,
  greyscaleProbability: 0,
  blurProbability: 0,
  solarizeProbability: 0,
};

/** The drawn parameters of one view. The flip is not among them, because it belongs to the crop. */
export interface AugmentationParameters {
  /** In order of application; empty without jitter. */
  readonly jitter: readonly { readonly operation: JitterOperation; readonly factor: number }[];
  readonly greyscale: boolean;
  /** Standard deviation in pixels; undefined without blur. */
  readonly blurSigma: number | undefined;
  /** Values greater than or equal to this are inverted; undefined without solarization. */
  readonly solarize: number | undefined;
}

const operations: readonly JitterOperation[] = ['brightness', 'contrast', 'saturation', 'hue'];

/** Draws the augmentation parameters of one view. */
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
    // torchvision skips an operation of strength 0. This matters for hue, where even a shift of 0 changes pixels by rounding.
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

/** Applies drawn parameters to interleaved 8-bit RGB, in place, in this order: jitter, greyscale, blur, solarize. */
export function augment(pixels: Uint8Array, width: number, height: number, drawn: AugmentationParameters): void {
  for (const { operation, factor } of drawn.jitter) jitterFunctions[operation](pixels, factor);
  if (drawn.greyscale) greyscale(pixels);
  if (drawn.blurSigma !== undefined) gaussianBlur(pixels, width, height, drawn.blurSigma);
  if (drawn.solarize !== undefined) solarize(pixels, drawn.solarize);
}
