import type { Tensor } from './tensor.js';

/**
 * Finds the first element of a tensor that is not finite, in row-major order; undefined if all are finite. Checks float32 only.
 */
export function firstNonFinite({ data }: Tensor): { readonly index: number; readonly value: number } | undefined {
  // Integers are always finite.
  if (!(data instanceof Float32Array)) return undefined;
  for (let index = 0; index < data.length; index++) {
    const value = data[index]!;
    // The difference x - x is 0 except for NaN and infinities.
    if (value - value !== 0) return { index, value };
  }
  return undefined;
}
