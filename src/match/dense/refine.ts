import type { Nearest } from '../vectors.js';
import type { Candidates } from './candidates.js';
import type { EqualVectors } from './equalVectors.js';

/** Vectors that candidates stand for. */
export interface CandidateVectors extends EqualVectors {
  /** [count, channels] */
  readonly data: Float32Array;
}

/** Squared L2 distance in float64, exactly 0 for equal vectors. */
function squaredDistance(a: Float32Array, i: number, b: Float32Array, j: number, channels: number): number {
  const atA = i * channels;
  const atB = j * channels;
  let even = 0;
  let odd = 0;
  let k = 0;
  for (; k + 1 < channels; k += 2) {
    const first = a[atA + k]! - b[atB + k]!;
    const second = a[atA + k + 1]! - b[atB + k + 1]!;
    even += first * first;
    odd += second * second;
  }
  if (k < channels) even += (a[atA + k]! - b[atB + k]!) ** 2;
  return even + odd;
}

/**
 * The nearest and the second nearest of candidates by distances in float64, ties to the lower index, for rows
 * [first, end) of `from`.
 *
 * Equal vectors count as the lowest of them, whichever was a candidate. Candidates behind the second whose float32 distance is
 * larger by more than `slack` cannot be among the first two and are not computed again.
 * @param slack of each row: the largest difference between two float32 distances whose order may be wrong
 * @param result written at [first, end)
 */
export function refine(
  from: Float32Array,
  channels: number,
  to: CandidateVectors,
  { kept, values, indices }: Candidates,
  { first, end }: { readonly first: number; readonly end: number },
  slack: (row: number) => number,
  result: Nearest,
): void {
  for (let row = first; row < end; row++) {
    const base = row * kept;
    const reach = kept > 1 ? values[base + 1]! + slack(row) : 0;
    let best = -1;
    let squared = Number.POSITIVE_INFINITY;
    let second = Number.POSITIVE_INFINITY;
    for (let c = 0; c < kept; c++) {
      const index = indices[base + c]!;
      if (index < 0 || (c > 1 && values[base + c]! > reach)) break;
      const distance = squaredDistance(from, row, to.data, index, channels);
      const lowest = to.lowest[index]!;
      if (distance < squared || (distance === squared && lowest < best)) {
        second = squared;
        squared = distance;
        best = lowest;
      } else if (distance < second) {
        second = distance;
      }
    }
    result.index[row] = best;
    result.squared[row] = squared;
    result.secondSquared[row] = to.repeated[best] === 1 ? squared : second;
  }
}
