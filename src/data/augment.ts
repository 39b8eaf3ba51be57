/** The method's changes of colour and sharpness, drawn first and applied later (method: section 4.1 and VICReg's). */

import type { RandomStream } from '../tensor/random.js';
import { gaussianBlur } from './blur.js';
import { adjustBrightness, adjustContrast, adjustSaturation, greyscale, solarize } from './color.js';
import { adjustHue } from './hue.js';

type JitterOperation = 'brightness' | 'contrast' | 'saturation' | 'hue';

/** What may happen to a view, and how likely. Blur and solarize differ between views: see ViewSpec. */
export interface AugmentationPolicy {
  /** Probability of mirroring left to right. */
  readonly flipProbability: number;
  /** Probability of colour jitter. */
  readonly jitterProbability: number;
  /** Brightness, contrast and saturation factors are uniform in [1 - s, 1 + s] (not below 0), hue in [-s, s] turns. */
  readonly jitterStrength: Readonly<Record<JitterOperation, number>>;
  /** Probability of dropping the colour. */
  readonly greyscaleProbability: number;
  /** Least and greatest standard deviation of the blur in pixels of the view. */
  readonly blurSigma: readonly [number, number];
}

/** The paper's values. */
export const defaultAugmentation: AugmentationPolicy = {
  flipProbability: 0.5,
  jitterProbability: 0.8,
  jitterStrength: { brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 },
  greyscaleProbability: 0.2,
  blurSigma: [0.1, 2],
};

/** Nothing but the crop. */
export const noAugmentation: AugmentationPolicy = {
  ...defaultAugmentation,
  flipProbability: 0,
  jitterProbability: 0,
  greyscaleProbability: 0,
};

/** All that was drawn for one view; mirroring is not here, as it belongs to the crop. */
export interface AugmentationParameters {
  /** In the order in which they are applied; empty without jitter. */
  readonly jitter: readonly { readonly operation: JitterOperation; readonly factor: number }[];
  readonly greyscale: boolean;
  /** Pixels; undefined without blur. */
  readonly blurSigma: number | undefined;
  readonly solarize: boolean;
}

const operations: readonly JitterOperation[] = ['brightness', 'contrast', 'saturation', 'hue'];

/**
 * Draws the changes of one view.
 * @param view probabilities of blur and solarization of this view
 */
export function drawAugmentation(
  random: RandomStream,
  policy: AugmentationPolicy,
  view: { readonly blurProbability: number; readonly solarizeProbability: number },
): AugmentationParameters {
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
  const blurred = random.bernoulli(view.blurProbability);
  const sigma = random.uniform(...policy.blurSigma);
  return {
    // torchvision leaves out an operation of strength 0; for hue this matters, as even a turn of 0 rounds.
    jitter: jittered ? jitter.filter(({ operation }) => policy.jitterStrength[operation] > 0) : [],
    greyscale: grey,
    blurSigma: blurred ? sigma : undefined,
    solarize: random.bernoulli(view.solarizeProbability),
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
  if (drawn.solarize) solarize(pixels);
}
