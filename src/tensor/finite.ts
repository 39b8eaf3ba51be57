import type { Tensor } from './tensor.js';

/** The first element of a tensor that is not a finite number, in row-major order; undefined where all are. */
export function firstNonFinite({ data }: Tensor): { readonly index: number; readonly value: number } | undefined {
  // Whole numbers are finite, and what int64 holds is no number of JavaScript's.
  if (!(data instanceof Float32Array)) return undefined;
  for (let index = 0; index < data.length; index++) {
    const value = data[index]!;
    // NaN and the infinities alone differ from 0 when taken from themselves.
    if (value - value !== 0) return { index, value };
  }
  return undefined;
}
