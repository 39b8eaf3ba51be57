/** Exact nearest neighbours between two sets of vectors by blocked loops: the arithmetic behind feature matching. */

import { emptyNearest, type Nearest, type NearestNeighbours, squaredNorms, type VectorPair } from './vectors.js';

/** Products between two pauses of a search: some milliseconds on one core. */
const pauseProducts = 4_000_000;

/** Targets of one block are read again for every pair of sources: 64 x 512 float32 is 128 KiB, inside an L2 cache. */
const blockTargets = 64;

/** Offered in ascending order of candidates, the lower one stays on a tie. */
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
 * Finds for every vector of one set the nearest of the other (L2, ties to the lower index), in both directions.
 *
 * Distances are |a|^2 + |b|^2 - 2ab in float64, summed in the same order as the norms: equal vectors have distance 0.
 * Four targets share each load of a source channel. Pauses (yields) every few milliseconds, so that whoever drives it
 * can do other work or stop; see `tensor/slices.ts`.
 * @throws MatchError `not_finite`
 */
export function* nearestNeighbours({ a, b, channels }: VectorPair): Generator<void, NearestNeighbours> {
  const normsA = squaredNorms('a', a, channels);
  const normsB = squaredNorms('b', b, channels);
  const n = normsA.length;
  const m = normsB.length;
  const fromA = emptyNearest(n);
  const fromB = emptyNearest(m);

  const offer = (i: number, j: number, dot: number): void => {
    const distance = Math.max(0, normsA[i]! + normsB[j]! - 2 * dot);
    keep(fromA, i, j, distance);
    keep(fromB, j, i, distance);
  };

  /** Sources [first, last) against targets [start, end): a plain function, since generators' loops are optimised less. */
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
