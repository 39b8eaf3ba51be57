import { createHash } from 'node:crypto';
import { forEachSlice } from '../../tensor/slices.js';
import { type Nearest, squaredDistance } from '../nearest.js';
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

/** What a digest costs beside that of its bytes, in elements: some microseconds (measured). */
const DIGEST_ELEMENTS = 512;

/** Vectors of one norm. */
interface Alike {
  /** The first of them. */
  readonly first: number;
  /** The first of each kind of the others, by digest. Absent while all are equal. */
  others?: Map<string, number>;
}

/**
 * Finds equal vectors. Only vectors of equal norms are compared, so it costs next to nothing where there are none.
 *
 * A caller can send any number of different vectors of one norm. Each is compared with the first, and then found by a
 * cryptographic digest: the work is proportional to the number of vectors, whatever they are. Pauses every few milliseconds.
 * @param norms [count] squared norms
 */
export function* findEqual(
  data: Float32Array,
  channels: number,
  norms: Float64Array,
): Generator<void, CandidateVectors> {
  const lowest = Int32Array.from(norms.keys());
  const repeated = new Uint8Array(norms.length);
  const same = (i: number, j: number): boolean => {
    for (let k = 0; k < channels; k++) if (data[i * channels + k] !== data[j * channels + k]) return false;
    return true;
  };
  const vector = new Float32Array(channels);
  const bytes = new Uint8Array(vector.buffer);
  const digest = (i: number): string => {
    // The sum makes -0 a 0, which it equals.
    for (let k = 0; k < channels; k++) vector[k] = data[i * channels + k]! + 0;
    return createHash('sha256').update(bytes).digest('base64');
  };
  const byNorm = new Map<number, Alike>();
  /** The first vector that equals this one; itself, if there is none before it. */
  const firstOf = (i: number): number => {
    const alike = byNorm.get(norms[i]!);
    if (alike === undefined) {
      byNorm.set(norms[i]!, { first: i });
      return i;
    }
    if (same(i, alike.first)) return alike.first;
    alike.others ??= new Map();
    const key = digest(i);
    const other = alike.others.get(key);
    if (other !== undefined) return other;
    alike.others.set(key, i);
    return i;
  };
  yield* forEachSlice(norms.length, channels + DIGEST_ELEMENTS, (start, end) => {
    for (let i = start; i < end; i++) {
      const first = firstOf(i);
      if (first === i) continue;
      lowest[i] = first;
      repeated[i] = 1;
      repeated[first] = 1;
    }
  });
  return { data, lowest, repeated };
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
