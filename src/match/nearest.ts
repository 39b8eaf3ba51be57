/** Nearest neighbours between two sets of vectors: input and output of a search, and the exact search by blocked loops. */

import { forEachSlice } from '../tensor/slices.js';
import { MatchError } from './matchError.js';

/** Two sets of vectors. */
export interface VectorPair {
  /** [n, channels] row-major. */
  readonly a: Float32Array;
  /** [m, channels] row-major. */
  readonly b: Float32Array;
  readonly channels: number;
}

/** For each vector of one set, the nearest vector of the other. */
export interface Nearest {
  /** [count] its index; ties go to the lower index. */
  readonly index: Int32Array;
  /** [count] squared L2 distance. */
  readonly squared: Float64Array;
  /** [count] squared distance of the second nearest, equal to that of the nearest on a tie; infinite if the other set has one vector. */
  readonly secondSquared: Float64Array;
}

/** Nearest neighbours in both directions. */
export interface NearestNeighbours {
  /** [n] nearest of b for each vector of a. */
  readonly fromA: Nearest;
  /** [m] nearest of a for each vector of b. */
  readonly fromB: Nearest;
  /** [n] squared L2 norms of a. */
  readonly normsA: Float64Array;
  /** [m] squared L2 norms of b. */
  readonly normsB: Float64Array;
}

/**
 * A search that runs elsewhere, such as in an engine's worker.
 * @throws MatchError `not_finite`; the signal's reason soon after it is aborted.
 */
export type NearestSearch = (pair: VectorPair, signal: AbortSignal) => Promise<NearestNeighbours>;

/** A result for `count` vectors before any search: index 0 at infinite distance. */
export function emptyNearest(count: number): Nearest {
  return {
    index: new Int32Array(count),
    squared: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
    secondSquared: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
  };
}

/**
 * Squared L2 norms [count] of row vectors, summed in float64 in channel order. Pauses every few milliseconds.
 * @param name of the set, for the error message
 * @throws MatchError `not_finite` naming the first vector that holds NaN or an infinity.
 */
export function* squaredNorms(name: 'a' | 'b', data: Float32Array, channels: number): Generator<void, Float64Array> {
  const norms = new Float64Array(data.length / channels);
  yield* forEachSlice(norms.length, channels, (first, end) => {
    for (let i = first; i < end; i++) {
      let sum = 0;
      for (let k = i * channels; k < (i + 1) * channels; k++) sum += data[k]! * data[k]!;
      // A sum of squares of float32 cannot overflow float64.
      if (!Number.isFinite(sum))
        throw new MatchError('not_finite', `${name} has a feature in cell ${i} that is not finite`);
      norms[i] = sum;
    }
  });
  return norms;
}

/** Squared L2 distance of row i of a and row j of b, by differences in float64: exactly 0 for equal vectors only. */
export function squaredDistance(a: Float32Array, i: number, b: Float32Array, j: number, channels: number): number {
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

/** Multiplications between two pauses of a search: a few milliseconds on one core. */
const pauseProducts = 4_000_000;

/** Targets in one block. A block is read again for every source: 64 x 512 float32 are 128 KiB, which fit an L2 cache. */
const blockTargets = 64;

/**
 * Below this share of the norms, a distance by norms and product has lost its digits, and is computed by differences: the product's
 * error is at most some 1e-13 of the norms.
 */
const LOST_DIGITS = 2 ** -30;

/** Candidates must come in ascending order: on a tie, the one that came first stays. */
function keep({ index, squared, secondSquared }: Nearest, row: number, candidate: number, distance: number): void {
  if (distance < squared[row]!) {
    secondSquared[row] = squared[row]!;
    squared[row] = distance;
    index[row] = candidate;
  } else if (distance < secondSquared[row]!) {
    secondSquared[row] = distance;
  }
}

/**
 * Finds the nearest vector of the other set for every vector of both sets (L2, ties to the lower index).
 *
 * Distances are |a|^2 + |b|^2 - 2ab in float64, and those of nearly equal vectors sums of squared differences: 0 for equal vectors only.
 * Four targets share each load of a source channel. Pauses every few milliseconds (see `tensor/slices.ts`).
 * @throws MatchError `not_finite`
 */
export function* nearestNeighbours({ a, b, channels }: VectorPair): Generator<void, NearestNeighbours> {
  const normsA = yield* squaredNorms('a', a, channels);
  const normsB = yield* squaredNorms('b', b, channels);
  const n = normsA.length;
  const m = normsB.length;
  const fromA = emptyNearest(n);
  const fromB = emptyNearest(m);

  const offer = (i: number, j: number, dot: number): void => {
    const norms = normsA[i]! + normsB[j]!;
    let distance = Math.max(0, norms - 2 * dot);
    if (distance < norms * LOST_DIGITS && (distance < fromA.secondSquared[i]! || distance < fromB.secondSquared[j]!)) {
      distance = squaredDistance(a, i, b, j, channels);
    }
    keep(fromA, i, j, distance);
    keep(fromB, j, i, distance);
  };

  /** Sources [first, last) against targets [start, end). A plain function, since loops of generators are optimised less. */
  const search = (first: number, last: number, start: number, end: number): void => {
    for (let i = first; i < last; i++) {
      const row = i * channels;
      let j = start;
      for (; j + 4 <= end; j += 4) {
        const b0 = j * channels;
        const b1 = b0 + channels;
        const b2 = b1 + channels;
        const b3 = b2 + channels;
        let dot0 = 0;
        let dot1 = 0;
        let dot2 = 0;
        let dot3 = 0;
        for (let k = 0; k < channels; k++) {
          const value = a[row + k]!;
          dot0 += value * b[b0 + k]!;
          dot1 += value * b[b1 + k]!;
          dot2 += value * b[b2 + k]!;
          dot3 += value * b[b3 + k]!;
        }
        offer(i, j, dot0);
        offer(i, j + 1, dot1);
        offer(i, j + 2, dot2);
        offer(i, j + 3, dot3);
      }
      for (; j < end; j++) {
        const b0 = j * channels;
        let dot = 0;
        for (let k = 0; k < channels; k++) dot += a[row + k]! * b[b0 + k]!;
        offer(i, j, dot);
      }
    }
  };

  const rows = Math.max(1, Math.floor(pauseProducts / (Math.min(blockTargets, m) * channels)));
  for (let start = 0; start < m; start += blockTargets) {
    const end = Math.min(start + blockTargets, m);
    for (let i = 0; i < n; i += rows) {
      search(i, Math.min(i + rows, n), start, end);
      yield;
    }
  }
  return { fromA, fromB, normsA, normsB };
}
