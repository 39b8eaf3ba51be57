import type { Range } from './ranges.js';

/** uint8 with one scale and zero point: real = (integer - zeroPoint) x scale. */
export interface ActivationScale {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** Scale and zero point of a range that contains 0; 0 is represented exactly. */
export function activationScale([min, max]: Range): ActivationScale {
  const scale = Math.fround((max - min) / 255) || 1;
  return { scale, zeroPoint: Math.min(255, Math.max(0, Math.round(-min / scale))) };
}

export interface QuantisedWeight {
  readonly integers: Int8Array;
  /** One of each output channel. */
  readonly scales: Float32Array;
}

/**
 * Largest weight. Processors with AVX2 or AVX-512 but without VNNI multiply bytes in pairs and add each pair in 16 bits,
 * which saturate at 32767. Weights up to 127 with activations up to 255 would saturate on these processors alone. With
 * weights up to 64, 2 x 255 x 64 = 32640 fits, so every processor computes the same (figures in docs/models.md).
 */
const LARGEST_WEIGHT = 64;

/** Largest integer of a bias: the sum of products in the same 32 bits needs less than the rest. */
const LARGEST_BIAS = 2 ** 30;

/**
 * Weights as int8 in -64..64, symmetric, one scale for each output.
 * @param outputOf output channel of an element by its index.
 * @param bias of each output, which is stored in the scale of the weight times `inputScale`. A channel with very small weights, as
 *   weight decay leaves them in a dead one, gets a scale in which its bias fits into 32 bits.
 */
export function quantiseWeight(
  weight: Float32Array,
  outputs: number,
  outputOf: (at: number) => number,
  { bias, inputScale }: { readonly bias?: Float32Array | undefined; readonly inputScale: number } = { inputScale: 1 },
): QuantisedWeight {
  const largest = new Float32Array(outputs);
  weight.forEach((value, at) => {
    const output = outputOf(at);
    largest[output] = Math.max(largest[output]!, Math.abs(value));
  });
  const smallestScale = (output: number) => Math.abs(bias?.[output] ?? 0) / (LARGEST_BIAS * inputScale);
  const scales = largest.map(
    (value, output) => Math.fround(Math.max(value / LARGEST_WEIGHT, smallestScale(output))) || 1,
  );
  const integers = Int8Array.from(weight, (value, at) =>
    Math.max(-LARGEST_WEIGHT, Math.min(LARGEST_WEIGHT, Math.round(value / scales[outputOf(at)]!))),
  );
  return { integers, scales };
}
