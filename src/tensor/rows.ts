import { type Tensor, tensor } from './tensor.js';

/** Operations on the rows of vectors [N, C]. */

/**
 * Rows divided by their L2 norms; rows of zeros are unchanged.
 * @param result takes the rows; it may be the given rows themselves. Default: a new array.
 */
export function normalisedRows(
  { data, shape }: Tensor<'float32'>,
  result: Float32Array = new Float32Array(data.length),
): Tensor<'float32'> {
  const [rows, channels] = shape as readonly [number, number];
  for (let row = 0; row < rows; row++) {
    const at = row * channels;
    let squares = 0;
    for (let c = 0; c < channels; c++) squares += data[at + c]! ** 2;
    const scale = squares === 0 ? 0 : 1 / Math.sqrt(squares);
    for (let c = 0; c < channels; c++) result[at + c] = data[at + c]! * scale;
  }
  return tensor('float32', shape, result);
}

/** A copy of `count` rows from `start`; rows beyond the last are zeros, so that a graph of a fixed batch can take them. */
export function paddedRows({ data, shape }: Tensor<'float32'>, start: number, count: number): Tensor<'float32'> {
  const channels = shape[1]!;
  const part = new Float32Array(count * channels);
  part.set(data.subarray(start * channels, (start + count) * channels));
  return tensor('float32', [count, channels], part);
}

/**
 * Rank of a class by its score, from 0: an image counts for top-5 accuracy if the rank of its class is below 5. Classes of equal
 * score are ranked by their index. If a score is not finite, the rank is the number of classes.
 */
export function classRank(scores: Float32Array | Float64Array, own: number): number {
  if (!scores.every(Number.isFinite)) return scores.length;
  let rank = 0;
  for (let c = 0; c < scores.length; c++) {
    if (scores[c]! > scores[own]! || (scores[c] === scores[own] && c < own)) rank++;
  }
  return rank;
}
