import type { Frame } from './frame.js';

/** What is added to each vector so that a product of two rows is a squared distance. */
export const EXTRA_TERMS = 2;

/** Rows of terms of consecutive vectors. */
export interface Terms {
  /** [count, channels + 2] */
  readonly data: Float32Array;
  /** [count] squared norms in the frame. */
  readonly squared: Float32Array;
}

/**
 * Vectors as rows of terms: (-2x, |x|^2, 1) on the left side and (x, 1, |x|^2) on the right, with x in the frame. A left row
 * times a right row is |x|^2 - 2xy + |y|^2.
 * @param vectors [count, channels]
 * @param into written over where it has the right length
 */
export function termsOf(
  side: 'left' | 'right',
  vectors: Float32Array,
  channels: number,
  { centre, scale }: Frame,
  into?: Float32Array,
): Terms {
  const count = vectors.length / channels;
  const width = channels + EXTRA_TERMS;
  const data = into?.length === count * width ? into : new Float32Array(count * width);
  const squared = new Float32Array(count);
  const factor = side === 'left' ? -2 : 1;
  for (let i = 0; i < count; i++) {
    const from = i * channels;
    const to = i * width;
    let sum = 0;
    for (let k = 0; k < channels; k++) {
      const value = Math.fround((vectors[from + k]! - centre[k]!) * scale);
      data[to + k] = factor * value;
      sum += value * value;
    }
    squared[i] = sum;
    data[to + channels] = side === 'left' ? sum : 1;
    data[to + channels + 1] = side === 'left' ? 1 : sum;
  }
  return { data, squared };
}
