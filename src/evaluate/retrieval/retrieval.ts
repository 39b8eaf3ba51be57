import { encodeModel } from '../../onnx/encode.js';
import { Graph } from '../../onnx/graph.js';
import { gemm } from '../../onnx/ops/linear.js';
import { createSession, runSession, type SessionConfig } from '../../onnx/session.js';
import { type LabelledVectors, normalised } from '../../probe/knn.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { tensor } from '../../tensor/tensor.js';
import { type MeasuredFigure, meanFigure } from '../result/figures.js';
import { type QueryRanking, rankQuery } from './rankQuery.js';

/** Retrieval of images of the query's class by cosine similarity of representations (docs/evaluation.md, Retrieval). */

export interface RetrievalOptions {
  /** Session for the similarities. */
  readonly session?: SessionConfig;
  /** Told of every query. */
  readonly progress?: WorkProgress;
}

/** Similarities that one run holds: 64 MiB. */
const MOST_SIMILARITIES = 2 ** 24;
const MOST_QUERIES = 256;

/**
 * Ranks the gallery for each query.
 * @param gallery undefined where the queries are searched in each other: each is then left out of its own ranking.
 */
export async function rankings(
  queries: LabelledVectors,
  gallery: LabelledVectors | undefined,
  { session = {}, progress = silentProgress }: RetrievalOptions = {},
): Promise<QueryRanking[]> {
  const bank = gallery ?? queries;
  const count = queries.labels.length;
  const [rows, channels] = bank.vectors.shape as readonly [number, number];
  const batch = Math.max(1, Math.min(MOST_QUERIES, count, Math.floor(MOST_SIMILARITIES / rows)));
  const graph = new Graph(undefined, session.device ?? 'cpu');
  const left = graph.input('queries', 'float32', [batch, channels]);
  const right = graph.input('gallery', 'float32', [rows, channels]);
  graph.output('similarities', gemm(left, right, { transB: true }));
  const running = await createSession(encodeModel(graph), { memoryPlan: false, ...session });
  try {
    const bankRows = normalised(bank.vectors);
    const queryRows = gallery === undefined ? bankRows : normalised(queries.vectors);
    const found: QueryRanking[] = [];
    for (let start = 0; start < count; start += batch) {
      const part = new Float32Array(batch * channels); // The last one is filled up with zeros.
      part.set(queryRows.data.subarray(start * channels, (start + batch) * channels));
      const feeds = { queries: tensor('float32', [batch, channels], part), gallery: bankRows };
      const similarities = (await runSession(running, feeds)).get('similarities')!.data as Float32Array;
      const last = Math.min(batch, count - start);
      for (let q = 0; q < last; q++) {
        const own = queries.labels[start + q]!;
        found.push(
          rankQuery(
            similarities.subarray(q * rows, (q + 1) * rows),
            (place) => bank.labels[place] === own,
            gallery === undefined ? start + q : undefined,
          ),
        );
      }
      progress.advance(last);
    }
    return found;
  } finally {
    await running.release();
  }
}

/** Places of the queries whose gallery has a relevant image: the others have no average precision. */
export function answerable(found: readonly QueryRanking[]): number[] {
  return found.flatMap(({ averagePrecision }, place) => (Number.isNaN(averagePrecision) ? [] : [place]));
}

/**
 * Mean average precision, and recall@k: the share of queries with an image of their class among the k most similar ones.
 * @param found of answerable queries.
 */
export function retrievalFigures(found: readonly QueryRanking[], ks: readonly number[]): MeasuredFigure[] {
  const map = meanFigure(
    { name: 'map', label: 'mean average precision', unit: 'share', better: 'higher' },
    Float64Array.from(found, ({ averagePrecision }) => averagePrecision),
  );
  const recalls = ks.map((k) =>
    meanFigure(
      { name: `recall${k}`, label: `recall@${k}`, unit: 'share', better: 'higher' },
      Uint8Array.from(found, ({ firstRelevant }) => (firstRelevant < k ? 1 : 0)),
    ),
  );
  return [map, ...recalls];
}
