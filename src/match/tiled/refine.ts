import type { Nearest } from '../nearest.js';
import type { Candidates } from './candidates.js';

/** Vectors among which candidates were found, and which of them are equal. */
export interface CandidateVectors {
  /** [count, channels] */
  readonly data: Float32Array;
  /** [count] the lowest index of a vector equal to this one. */
  readonly lowest: Int32Array;
  /** [count] 1 where another vector is equal to this one. */
  readonly repeated: Uint8Array;
}

/**
 * Finds equal vectors. Only vectors of equal norms are compared, so it costs next to nothing where there are none.
 * @param norms [count] squared norms
 */
export function findEqual(data: Float32Array, channels: number, norms: Float64Array): CandidateVectors {
  const lowest = Int32Array.from(norms.keys());
  const repeated = new Uint8Array(norms.length);
  const same = (i: number, j: number): boolean => {
    for (let k = 0; k < channels; k++) if (data[i * channels + k] !== data[j * channels + k]) return false;
    return true;
  };
  /** The first vectors of each norm: several where different vectors have the same norm. */
  const firsts = new Map<number, number[]>();
  for (const [i, norm] of norms.entries()) {
    const others = firsts.get(norm);
    const equal = others?.find((other) => same(i, other));
    if (equal !== undefined) {
      lowest[i] = equal;
      repeated[i] = 1;
      repeated[equal] = 1;
    } else if (others === undefined) firsts.set(norm, [i]);
    else others.push(i);
  }
  return { data, lowest, repeated };
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
 * Decides among candidates by distances in float64: the nearest and the second nearest for rows [first, end) of `from`, ties
 * to the lower index.
 *
 * Of equal vectors, the lowest index is the answer, whichever was a candidate. A candidate whose float32 distance exceeds that
 * of the second candidate by more than `slack` cannot be among the nearest two, so its distance is not computed.
 * @param slack for a row, the largest difference between two float32 distances whose order may be wrong
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
