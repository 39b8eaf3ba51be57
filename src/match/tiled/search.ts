import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeModel } from '../../onnx/encode.js';
import type { InferenceSession } from '../../onnx/runtime.js';
import { createSession, runSession } from '../../onnx/session.js';
import { runInSlices } from '../../tensor/slices.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { emptyNearest, type Nearest, type NearestNeighbours, squaredNorms, type VectorPair } from '../nearest.js';
import { addTile, type Candidates, noCandidates } from './candidates.js';
import { distanceGraph, EXTRA_COLUMNS, type FactorRows, factorRows } from './distanceProduct.js';
import { commonNormalisation } from './normalisation.js';
import { type CandidateVectors, findEqual, refine } from './refine.js';

/**
 * Measured by scripts/bench/matching.ts. The distances of a tile take 2 MiB and stay in the caches; a larger product is no
 * faster. At 2,048 channels a tile takes some tens of ms, after which a search can stop.
 */
const defaultTile: TileSize = { a: 512, b: 1024 };

/** Candidates of each vector, found by float32 distances and decided in float64. */
const KEPT = 4;

/** Vectors of each set in one tile. */
export interface TileSize {
  readonly a: number;
  readonly b: number;
}

/** Opens the graph of `searchNearest` on the CPU: CUDA would multiply in TF32, whose mantissa has 10 bits. */
export function openNearestSession(threads: number): Promise<InferenceSession> {
  return createSession(encodeModel(distanceGraph(), { name: 'nearest' }), { threads, spinning: false });
}

const count = (value: number): Tensor => tensor('int64', [1], BigInt64Array.of(BigInt(value)));

/** Rows [first, end) of a matrix. */
function rows(data: Float32Array, width: number, first: number, end: number): Tensor {
  return tensor('float32', [end - first, width], data.subarray(first * width, end * width));
}

function found(outputs: ReadonlyMap<string, Tensor>, side: 'a' | 'b', width: number) {
  return {
    values: outputs.get(`values_${side}`)!.data as Float32Array,
    indices: outputs.get(`indices_${side}`)!.data as Int32Array,
    width,
  };
}

const largest = (values: Float64Array | Float32Array): number => {
  let found = 0;
  for (const value of values) if (value > found) found = value;
  return found;
};

/**
 * Nearest neighbours in both directions. A tiled product in float32 finds four candidates for each vector; their distances
 * are then computed in float64.
 *
 * Distances are those of float64, 0 for equal vectors, and ties go to the lower index. The nearest is the true one unless more
 * than four vectors are as near within the rounding of the product, at most 4 (C + 6) 2^-24 (|a|^2 + |b|^2) for vectors around
 * their centre (5e-4 of their squared lengths at 2,048 channels); then it is one of these. A few vectors far from all others (up to a
 * fifth of each map) lower the precision of their own distances alone.
 *
 * Memory in addition to the two maps: one copy of b, one tile of a, and one tile of distances. It yields to the event loop
 * between tiles, and every few milliseconds of other work.
 * @param session from `openNearestSession`
 * @throws MatchError `not_finite`; the signal's reason after the tile or the slice during which it is aborted.
 */
export async function searchNearest(
  session: InferenceSession,
  pair: VectorPair,
  signal: AbortSignal,
  tile: TileSize = defaultTile,
): Promise<NearestNeighbours> {
  signal.throwIfAborted();
  const { a, b, channels } = pair;
  const normsA = await runInSlices(squaredNorms('a', a, channels), signal);
  const normsB = await runInSlices(squaredNorms('b', b, channels), signal);
  const [n, m] = [normsA.length, normsB.length];
  const width = channels + EXTRA_COLUMNS;
  const normalisation = commonNormalisation(pair, Math.max(largest(normsA), largest(normsB)));
  const right = await runInSlices(factorRows('right', b, channels, normalisation), signal);
  const candidatesA = noCandidates(n, Math.min(KEPT, m));
  const candidatesB = noCandidates(m, Math.min(KEPT, n));
  const squaredA = new Float32Array(n);
  let left: FactorRows | undefined;
  for (let i = 0; i < n; i += tile.a) {
    const endI = Math.min(n, i + tile.a);
    const vectors = a.subarray(i * channels, endI * channels);
    left = await runInSlices(factorRows('left', vectors, channels, normalisation, left?.data), signal);
    squaredA.set(left.squared, i);
    for (let j = 0; j < m; j += tile.b) {
      const endJ = Math.min(m, j + tile.b);
      const keepA = Math.min(KEPT, endJ - j);
      const keepB = Math.min(KEPT, endI - i);
      const outputs = await runSession(session, {
        a: tensor('float32', [endI - i, width], left.data),
        b: rows(right.data, width, j, endJ),
        keep_a: count(keepA),
        keep_b: count(keepB),
      });
      addTile(candidatesA, i, found(outputs, 'a', keepA), j);
      addTile(candidatesB, j, found(outputs, 'b', keepB), i);
      await nextTurn();
      signal.throwIfAborted();
    }
  }

  /** Each float32 distance is a sum of C + 2 products of numbers that were rounded themselves. */
  const slack = (squared: Float32Array, others: Float32Array) => {
    const reach = largest(others);
    return (row: number) => 4 * (width + 4) * 2 ** -24 * (squared[row]! + reach);
  };
  const refined = async (
    from: Float32Array,
    to: CandidateVectors,
    candidates: Candidates,
    slackOf: (row: number) => number,
    total: number,
  ): Promise<Nearest> => {
    const result = emptyNearest(total);
    for (let first = 0; first < total; first += tile.a) {
      const end = Math.min(total, first + tile.a);
      refine(from, channels, to, candidates, { first, end }, slackOf, result);
      await nextTurn();
      signal.throwIfAborted();
    }
    return result;
  };
  const vectorsA = await runInSlices(findEqual(a, channels, normsA), signal);
  const vectorsB = await runInSlices(findEqual(b, channels, normsB), signal);
  return {
    fromA: await refined(a, vectorsB, candidatesA, slack(squaredA, right.squared), n),
    fromB: await refined(b, vectorsA, candidatesB, slack(right.squared, squaredA), m),
    normsA,
    normsB,
  };
}
