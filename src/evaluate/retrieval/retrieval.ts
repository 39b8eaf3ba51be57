import { encodeModel } from '../../onnx/encode.js';
import { Graph } from '../../onnx/graph.js';
import { gemm } from '../../onnx/ops/linear.js';
import { createSession, runSession, type SessionConfig } from '../../onnx/session.js';
import { type LabelledVectors, queryBatch } from '../../probe/knn.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { normalisedRows, paddedRows } from '../../tensor/rows.js';
import { type MeasuredFigure, meanFigure } from '../result/figures.js';
import { type QueryRanking, rankQuery } from './rankQuery.js';

/** Retrieval of images of the query's class by cosine similarity of representations (docs/evaluation.md, Retrieval). */

export interface RetrievalOptions {
  /** Session for the similarities. */
  readonly session?: SessionConfig;
  /** Whether the vectors may be overwritten by their normalised ones, which saves a copy of a large gallery. Default false. */
  readonly inPlace?: boolean;
  /** Advances with every query. */
  readonly progress?: WorkProgress;
}

/**
 * Ranks the gallery for each query.
 * @param gallery undefined where the queries are searched in each other: each is then left out of its own ranking.
 */
export async function rankings(
  queries: LabelledVectors,
  gallery: LabelledVectors | undefined,
  { session = {}, progress = silentProgress, inPlace = false }: RetrievalOptions = {},
): Promise<QueryRanking[]> {
  const bank = gallery ?? queries;
  const count = queries.labels.length;
  const [rows, channels] = bank.vectors.shape as readonly [number, number];
  const batch = queryBatch(count, rows);
  const graph = new Graph(undefined, session.device ?? 'cpu');
  const left = graph.input('queries', 'float32', [batch, channels]);
  const right = graph.input('gallery', 'float32', [rows, channels]);
  graph.output('similarities', gemm(left, right, { transB: true }));
  const running = await createSession(encodeModel(graph), { memoryPlan: false, ...session });
  try {
    const normalised = ({ vectors }: LabelledVectors) => normalisedRows(vectors, inPlace ? vectors.data : undefined);
    const bankRows = normalised(bank);
    const queryRows = gallery === undefined ? bankRows : normalised(queries);
    const found: QueryRanking[] = [];
    for (let start = 0; start < count; start += batch) {
      const feeds = { queries: paddedRows(queryRows, start, batch), gallery: bankRows };
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
