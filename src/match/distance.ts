/** Distances by which cells are matched. Each is the L2 distance of vectors that are prepared for it. */

import { forEachSlice } from '../tensor/slices.js';
import { squaredNorms, type VectorPair } from './nearest.js';

/**
 * - `l2`: of the vectors as they are (the paper's).
 * - `cosine`: of the unit vectors, d^2 = 2 - 2 cos. Where lengths differ widely, as in the maps of a ReLU network, `l2` finds short
 *   vectors near everything.
 * - `centredCosine`: the same after the mean of all vectors of both maps is subtracted, so that what all cells of the two
 *   images share does not count.
 */
export const matchDistances = ['l2', 'cosine', 'centredCosine'] as const;
export type MatchDistance = (typeof matchDistances)[number];

/** The mean [channels] of all vectors of both sets, summed in float64. */
function* meanOf({ a, b, channels }: VectorPair): Generator<void, Float64Array> {
  const mean = new Float64Array(channels);
  const count = (a.length + b.length) / channels;
  for (const data of [a, b]) {
    yield* forEachSlice(data.length / channels, channels, (first, end) => {
      for (let at = first * channels; at < end * channels; at += channels) {
        for (let k = 0; k < channels; k++) mean[k]! += data[at + k]!;
      }
    });
  }
  return mean.map((sum) => sum / count);
}

/** Vectors less the centre, scaled to length 1. Zero vectors stay zero. */
function* unitVectors(data: Float32Array, channels: number, centre: Float64Array): Generator<void, Float32Array> {
  const unit = new Float32Array(data.length);
  yield* forEachSlice(data.length / channels, channels, (first, end) => {
    for (let at = first * channels; at < end * channels; at += channels) {
      let squared = 0;
      for (let k = 0; k < channels; k++) squared += (data[at + k]! - centre[k]!) ** 2;
      const scale = squared === 0 ? 0 : 1 / Math.sqrt(squared);
      for (let k = 0; k < channels; k++) unit[at + k] = (data[at + k]! - centre[k]!) * scale;
    }
  });
  return unit;
}

/**
 * The vectors whose L2 distance is the given distance of the pair's. Pauses every few milliseconds (see `tensor/slices.ts`).
 * @throws MatchError `not_finite` naming the first vector that holds NaN or an infinity, where the distance has to read them.
 */
export function* comparedVectors(pair: VectorPair, distance: MatchDistance): Generator<void, VectorPair> {
  if (distance === 'l2') return pair;
  const { a, b, channels } = pair;
  // Checked here: a mean would carry one NaN into all vectors.
  yield* squaredNorms('a', a, channels);
  yield* squaredNorms('b', b, channels);
  const centre = distance === 'centredCosine' ? yield* meanOf(pair) : new Float64Array(channels);
  return { a: yield* unitVectors(a, channels, centre), b: yield* unitVectors(b, channels, centre), channels };
}
