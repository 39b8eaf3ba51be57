/** Exact nearest neighbours between two sets of vectors by blocked loops: the arithmetic behind feature matching. */

/** Nearest neighbours in both directions; distances are squared L2. */
export interface NearestNeighbours {
  /** [n] target nearest to each source. */
  readonly target: Int32Array;
  /** [n] its squared distance. */
  readonly squared: Float64Array;
  /** [n] squared distance of the second-nearest target; infinite where there is one target only. */
  readonly secondSquared: Float64Array;
  /** [m] source nearest to each target. */
  readonly source: Int32Array;
}

/** Products between two pauses of a search: some milliseconds on one core. */
const pauseProducts = 4_000_000;

/** Targets of one block are read again for every pair of sources: 64 x 512 float32 is 128 KiB, inside an L2 cache. */
const blockTargets = 64;

/** [count] squared L2 norms of row vectors, summed in float64 in channel order. */
export function squaredNorms(data: Float32Array, count: number, channels: number): Float64Array {
  const norms = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let k = i * channels; k < (i + 1) * channels; k++) sum += data[k]! * data[k]!;
    norms[i] = sum;
  }
  return norms;
}

/**
 * Finds for every source the nearest target (L2, ties to the lower index) and the reverse.
 *
 * Distances are |a|^2 + |b|^2 - 2ab in float64, summed in the same order as the norms: equal vectors have distance 0.
 * Four targets share each load of a source channel. Pauses (yields) every few milliseconds, so that whoever drives it
 * can do other work or stop; see `turns.ts`.
 * @param a [n, channels]
 * @param b [m, channels]
 */
export function* nearestNeighbours(
  a: Float32Array,
  normsA: Float64Array,
  b: Float32Array,
  normsB: Float64Array,
  channels: number,
): Generator<void, NearestNeighbours> {
  const n = normsA.length;
  const m = normsB.length;
  const target = new Int32Array(n);
  const squared = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  const secondSquared = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  const source = new Int32Array(m);
  const squaredOfTarget = new Float64Array(m).fill(Number.POSITIVE_INFINITY);

  const offer = (i: number, j: number, dot: number): void => {
    const distance = Math.max(0, normsA[i]! + normsB[j]! - 2 * dot);
    if (distance < squared[i]!) {
      secondSquared[i] = squared[i]!;
      squared[i] = distance;
      target[i] = j;
    } else if (distance < secondSquared[i]!) {
      secondSquared[i] = distance;
    }
    if (distance < squaredOfTarget[j]!) {
      squaredOfTarget[j] = distance;
      source[j] = i;
    }
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
  return { target, squared, secondSquared, source };
}
