import { DataError } from '../../data/dataError.js';
import type { SessionConfig } from '../../onnx/session.js';
import type { EmbeddedImages } from '../../probe/embedImages.js';
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
 * Checks that there are as many neighbours as vote.
 * @throws DataError `undecodable` that names a training image that cannot be decoded.
 */
export function requireNeighbours({ labels, skipped }: Pick<EmbeddedImages, 'labels' | 'skipped'>, k: number): void {
  const usable = labels.length;
  if (usable >= k) return;
  const [first] = skipped;
  const broken = first ? `: ${skipped.length} cannot be decoded, such as ${first.name}: ${first.reason}` : '';
  throw new DataError(
    'undecodable',
    `--k is ${k}, and only ${usable} training images can be used${broken}; ${usable > 0 ? `use at most ${usable}, repair them` : 'repair them'}, or give more images`,
  );
}

/**
 * Top-1 and top-5 accuracy over the test images. The vectors are normalised in place.
 * @throws DataError for fewer training images than neighbours, or fewer than two test images.
 */
export async function knnAccuracy(
  { name }: SubjectSource,
  { train, test }: EmbeddedSplit,
  { k, temperature, classes, session, progress = silentProgress }: KnnAccuracyOptions,
): Promise<SubjectMeasures> {
  requireNeighbours(train, k);
  requireImages(test.labels.length, test.skipped);
  const knn = createKnn({ k, temperature, classes, inPlace: true }, session);
  try {
    progress.begin(`${name}, classifying`, test.labels.length, 'images');
    return { figures: topFigures([await knn.ranks(train, test, progress)], classes) };
  } finally {
    await knn.close();
  }
}
