import type { SessionConfig } from '../../onnx/session.js';
import { createKnn } from '../../probe/knn.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { requireImages } from '../requireImages.js';
import type { SubjectMeasures } from '../result/buildResult.js';
import type { SubjectSource } from '../subjects/subject.js';
import type { EmbeddedSplit } from './embedSplit.js';
import { topFigures } from './topFigures.js';

/** k-NN classification of representations (docs/evaluation.md, k-NN). */

export interface KnnAccuracyOptions {
  /** Number of neighbours that vote. */
  readonly k: number;
  readonly temperature: number;
  /** Number of classes. */
  readonly classes: number;
  /** Session for the neighbour search. */
  readonly session?: SessionConfig;
  readonly progress?: WorkProgress;
}

/**
 * Top-1 and top-5 accuracy over the test images.
 * @throws RangeError for fewer training images than neighbours, DataError for fewer than two test images.
 */
export async function knnAccuracy(
  { name }: SubjectSource,
  { train, test }: EmbeddedSplit,
  { k, temperature, classes, session, progress = silentProgress }: KnnAccuracyOptions,
): Promise<SubjectMeasures> {
  requireImages(test.labels.length, test.skipped);
  const knn = createKnn({ k, temperature, classes }, session);
  try {
    progress.begin(`${name}, classifying`, test.labels.length, 'images');
    return { figures: topFigures([await knn.ranks(train, test, progress)], classes) };
  } finally {
    await knn.close();
  }
}
