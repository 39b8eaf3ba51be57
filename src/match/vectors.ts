import { MatchError } from './matchError.js';

/** Two sets of vectors to be matched. */
export interface VectorPair {
  /** [n, channels] row-major. */
  readonly a: Float32Array;
  /** [m, channels] row-major. */
  readonly b: Float32Array;
  readonly channels: number;
}

/** For each vector of one set, the nearest of the other. */
export interface Nearest {
  /** [count] its index; ties go to the lower. */
  readonly index: Int32Array;
  /** [count] squared L2 distance. */
  readonly squared: Float64Array;
  /** [count] squared distance of the second nearest, equal to the nearest on a tie; infinite where there is one alone. */
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
 * Finds nearest neighbours somewhere else, such as in an engine's worker.
 * @throws MatchError `not_finite`; the signal's reason soon after it is aborted.
 */
export type NearestSearch = (pair: VectorPair, signal: AbortSignal) => Promise<NearestNeighbours>;

/** Room for the answer about `count` vectors: index 0 at infinite distance. */
export function emptyNearest(count: number): Nearest {
  return {
    index: new Int32Array(count),
    squared: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
    secondSquared: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
  };
}

/**
 * [count] squared L2 norms of row vectors, summed in float64 in channel order.
 * @param name of the set, for the error
 * @throws MatchError `not_finite` naming the first vector that holds NaN or an infinity.
 */
export function squaredNorms(name: 'a' | 'b', data: Float32Array, channels: number): Float64Array {
  const norms = new Float64Array(data.length / channels);
  for (let i = 0; i < norms.length; i++) {
    let sum = 0;
    for (let k = i * channels; k < (i + 1) * channels; k++) sum += data[k]! * data[k]!;
    // A sum of squares of float32 cannot overflow float64.
    if (!Number.isFinite(sum))
      throw new MatchError('not_finite', `${name} has a feature in cell ${i} that is not finite`);
    norms[i] = sum;
  }
  return norms;
}
