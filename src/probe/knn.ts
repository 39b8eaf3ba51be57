import { encodeModel } from '../onnx/encode.js';
import { Graph } from '../onnx/graph.js';
import { neg } from '../onnx/ops/elementwise.js';
import { smallest } from '../onnx/ops/indexing.js';
import { gemm } from '../onnx/ops/linear.js';
import { createSession, runSession, type SessionConfig } from '../onnx/session.js';
import { silentProgress, type WorkProgress } from '../progress/work.js';
import { firstNonFinite } from '../tensor/finite.js';
import { classRank, normalisedRows, paddedRows } from '../tensor/rows.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/**
 * Weighted k-nearest-neighbour classification (Wu et al., arXiv 1805.01978, section 3.4): the k training vectors of
 * greatest cosine similarity vote for their classes with weight exp(similarity / temperature).
 */

export interface KnnOptions {
  readonly k: number;
  readonly temperature: number;
  /** Number of classes. */
  readonly classes: number;
  /** Whether the vectors may be overwritten by their normalised ones, which saves a copy of a large bank. Default false. */
  readonly inPlace?: boolean;
}

/** Vectors [N, C] of images, and the class of each. */
export interface LabelledVectors {
  readonly vectors: Tensor<'float32'>;
  readonly labels: Uint32Array;
}

export interface KnnClassifier {
  /**
   * Classifies queries by their neighbours in a bank. Returns for each query the rank of its own class, from 0: its
   * top-5 accuracy is the share of ranks below 5. Classes of equal score are ranked by their index. A vector of the bank that is
   * not finite is no neighbour, as it stands behind all others in retrieval; fewer than k then vote, if fewer are left. A query whose
   * vector is not finite, or that has no neighbour, gets the number of classes as rank.
   * @param progress advances with every query
   * @throws RangeError for a bank of fewer than k vectors.
   */
  ranks(bank: LabelledVectors, queries: LabelledVectors, progress?: WorkProgress): Promise<Uint32Array>;
  close(): Promise<void>;
}

/** Maximum number of similarities in one run: 64 MiB. */
const MAX_SIMILARITIES = 2 ** 24;
const MAX_QUERIES = 256;

/** Queries of one run, of `count`, against a bank of so many rows. */
export function queryBatch(count: number, rows: number): number {
  return Math.max(1, Math.min(MAX_QUERIES, count, Math.floor(MAX_SIMILARITIES / rows)));
}

/** `queries` [Q, C] and `bank` [N, C] -> the k largest products of each query, negated, and their rows of the bank. */
export function searchGraph(queries: number, bank: number, channels: number, k: number): Graph {
  const graph = new Graph();
  const similarities = gemm(
    graph.input('queries', 'float32', [queries, channels]),
    graph.input('bank', 'float32', [bank, channels]),
    { transB: true },
  );
  const { values, indices } = smallest(neg(similarities), k);
  graph.output('distances', values);
  graph.output('neighbours', indices);
  return graph;
}

/** Below every score of a class that a neighbour votes for. */
const NO_VOTE = -2;

/**
 * Scores that order the classes as the sums of exp(similarity / temperature) do, and are finite at every temperature: the logarithm
 * of the sum, times the temperature where that is below 1. The sum itself overflows below a temperature of about 0.0014.
 * @param labels of the neighbours.
 * @param distances of the neighbours: negated similarities.
 * @returns a score of each class; not finite for a class with a similarity that is not.
 */
function classScores(
  labels: readonly number[],
  distances: Float32Array,
  { temperature, classes }: Pick<KnnOptions, 'temperature' | 'classes'>,
): Float64Array {
  const largest = new Float64Array(classes).fill(NO_VOTE);
  labels.forEach((label, i) => {
    largest[label] = Math.max(largest[label]!, -distances[i]!);
  });
  const sums = new Float64Array(classes);
  labels.forEach((label, i) => {
    sums[label] = sums[label]! + Math.exp((-distances[i]! - largest[label]!) / temperature);
  });
  const unit = Math.max(1, temperature);
  return sums.map((sum, c) => (sum === 0 ? NO_VOTE : largest[c]! / unit + Math.min(1, temperature) * Math.log(sum)));
}

/** The rows of a bank of normalised vectors that are finite, and their labels: NaN would have any place among the neighbours. */
function finiteRows({ vectors, labels }: LabelledVectors): LabelledVectors {
  if (firstNonFinite(vectors) === undefined) return { vectors, labels };
  const channels = vectors.shape[1]!;
  const rowAt = (row: number) => vectors.data.subarray(row * channels, (row + 1) * channels);
  const kept = [...labels.keys()].filter((row) => rowAt(row).every(Number.isFinite));
  const data = new Float32Array(kept.length * channels);
  for (const [i, row] of kept.entries()) data.set(rowAt(row), i * channels);
  return {
    vectors: tensor('float32', [kept.length, channels], data),
    labels: Uint32Array.from(kept, (row) => labels[row]!),
  };
}

interface Search {
  readonly shape: string;
  readonly session: Awaited<ReturnType<typeof createSession>>;
}

/** @throws RangeError for options out of range. */
export function createKnn(
  { k, temperature, classes, inPlace = false }: KnnOptions,
  session: SessionConfig = {},
): KnnClassifier {
  if (!Number.isSafeInteger(k) || k < 1) throw new RangeError(`k is ${k}; it must be a whole number of at least 1`);
  if (!(temperature > 0)) throw new RangeError(`temperature is ${temperature}; it must be over 0`);
  // Reused between calls: a probe has the same shapes every time.
  let search: Search | undefined;
  const searchOf = async (queries: number, bank: number, channels: number, voting: number): Promise<Search> => {
    const shape = `${queries} ${bank} ${channels} ${voting}`;
    if (search?.shape === shape) return search;
    await search?.session.release();
    search = undefined;
    const graph = searchGraph(queries, bank, channels, voting);
    search = { shape, session: await createSession(encodeModel(graph), { memoryPlan: false, ...session }) };
    return search;
  };

  return {
    async ranks(bank, queries, progress = silentProgress) {
      const [given, channels] = bank.vectors.shape as readonly [number, number];
      if (given < k)
        throw new RangeError(`k is ${k}, but the bank has only ${given} vectors; lower k or give more images`);
      const normalised = ({ vectors }: LabelledVectors) => normalisedRows(vectors, inPlace ? vectors.data : undefined);
      const known = finiteRows({ vectors: normalised(bank), labels: bank.labels });
      const queryRows = normalised(queries);
      const rows = known.labels.length;
      const voting = Math.min(k, rows);
      const count = queries.labels.length;
      const ranks = new Uint32Array(count);
      if (voting === 0) {
        progress.advance(count);
        return ranks.fill(classes);
      }
      const batch = queryBatch(count, rows);
      const { session: running } = await searchOf(batch, rows, channels, voting);
      for (let start = 0; start < count; start += batch) {
        const found = await runSession(running, { queries: paddedRows(queryRows, start, batch), bank: known.vectors });
        const distances = found.get('distances')!.data as Float32Array;
        const neighbours = found.get('neighbours')!.data as BigInt64Array;
        for (let q = 0; q < batch && start + q < count; q++) {
          const own = Array.from({ length: voting }, (_, i) => known.labels[Number(neighbours[q * voting + i])]!);
          const scores = classScores(own, distances.subarray(q * voting, (q + 1) * voting), { temperature, classes });
          ranks[start + q] = classRank(scores, queries.labels[start + q]!);
        }
        progress.advance(Math.min(batch, count - start));
      }
      return ranks;
    },
    async close() {
      await search?.session.release();
      search = undefined;
    },
  };
}

/** Share of the ranks below n; NaN for no ranks. */
export function topShare(ranks: Uint32Array, n: number): number {
  return ranks.reduce((right, rank) => right + (rank < n ? 1 : 0), 0) / ranks.length;
}
