import { DataError } from '../../../data/dataError.js';
import { sourceFingerprint } from '../../../data/sourceFingerprint.js';
import { DivergedError } from '../../../heads/headTrainer.js';
import { classRanks } from '../../../heads/linearClassifier.js';
import type { SessionConfig } from '../../../onnx/session.js';
import type { EmbeddedImages } from '../../../probe/embedImages.js';
import { topShare } from '../../../probe/knn.js';
import type { LabelledImages, LabelledSplit } from '../../../probe/labelledImages.js';
import { silentProgress, type WorkProgress } from '../../../progress/work.js';
import { stream } from '../../../tensor/random.js';
import { tensor } from '../../../tensor/tensor.js';
import { contentDigest } from '../../contentDigest.js';
import type { FeatureCache } from '../../featureCache.js';
import { requireImages } from '../../requireImages.js';
import type { SubjectMeasures } from '../../result/buildResult.js';
import type { ResultCurve } from '../../result/schema.js';
import type { Subject, SubjectSource } from '../../subjects/subject.js';
import { checkSizes, embeddedNames, embedLabelled, usedOf } from '../embedSplit.js';
import { topFigures } from '../topFigures.js';
import { heldOutPlaces, imagesAt } from '../trainSubset.js';
import { randomCropFeatures, storedFeatures } from './epochFeatures.js';
import { type HeadPlan, type TrainedHead, trainHeads } from './trainHeads.js';

/** Linear evaluation of a frozen network (docs/evaluation.md, Linear). */

export interface LinearAccuracyOptions {
  /** Sizes of the test images; the random crops of training have the side `crop` too. */
  readonly resize: number;
  readonly crop: number;
  /** Heads that learn from stored features of central crops and their mirror images, instead of random crops. */
  readonly quick: boolean;
  readonly epochs: number;
  readonly batchSize: number;
  /** One, or several of which the best on held-out training images is taken. */
  readonly learningRates: readonly number[];
  readonly momentum: number;
  readonly weightDecay: number;
  /** Heads that differ in initial weights and batch order. */
  readonly seeds: number;
  readonly seed: number;
  readonly cache: FeatureCache;
  /** Session of the heads. */
  readonly session?: SessionConfig;
  /** See `TrainHeadsOptions`. */
  readonly saveSeconds?: number;
  readonly progress?: WorkProgress;
}

export interface LinearMeasures extends SubjectMeasures {
  /** The learning rate that was taken. */
  readonly learningRate: number;
  /** Training images that were used or skipped. */
  readonly train: Pick<EmbeddedImages, 'labels' | 'skipped'>;
  readonly test: Pick<EmbeddedImages, 'labels' | 'skipped'>;
}

const TOP1 = 'top-1 accuracy';

/**
 * Top-1 and top-5 accuracy of linear classifiers on representations, means over the seeds.
 * @throws DataError for fewer than two test images, ImageError for sizes that do not fit, EngineError; DivergedError that
 *   names the subject and the learning rate.
 */
export async function linearAccuracy(
  subject: Subject,
  source: SubjectSource,
  split: LabelledSplit,
  options: LinearAccuracyOptions,
): Promise<LinearMeasures> {
  try {
    return await measured(subject, source, split, options);
  } catch (cause) {
    if (!(cause instanceof DivergedError)) throw cause;
    throw new DivergedError(`${source.name}: ${cause.message}`, { cause });
  }
}

async function measured(
  subject: Subject,
  source: SubjectSource,
  { classes: { length: classes }, train, test }: LabelledSplit,
  options: LinearAccuracyOptions,
): Promise<LinearMeasures> {
  const { resize, crop, quick, epochs, batchSize, learningRates, momentum, weightDecay, seeds, seed } = options;
  const { cache, session, saveSeconds, progress = silentProgress } = options;
  checkSizes(subject, options);
  const sweeps = learningRates.length > 1;
  const held = sweeps ? heldOutPlaces(train, classes, seed) : undefined;
  const heldImages = held && imagesAt(train, held);

  const embedding = { resize, crop, cache, progress };
  const [trained, heldOnce] = quick ? [train.indices.length * 2, 0] : [0, heldImages?.indices.length ?? 0];
  progress.begin(`${source.name}, embedding`, test.indices.length + trained + heldOnce, 'images');
  const tested = await embedLabelled(subject, source, test, embedding);
  requireImages(tested.labels.length, tested.skipped);
  const stored = quick && {
    plain: await embedLabelled(subject, source, train, embedding),
    mirrored: await embedLabelled(subject, source, train, { ...embedding, mirrored: true }),
  };
  if (stored) requireImages(stored.plain.labels.length, stored.plain.skipped);
  const heldVectors =
    held && heldImages
      ? stored
        ? embeddedAt(stored.plain, train.indices, held)
        : await embedLabelled(subject, source, heldImages, embedding)
      : undefined;
  if (heldVectors?.labels.length === 0) throw noneHeldOut(heldImages!.indices.length, heldVectors.skipped);

  const headSeeds = Array.from({ length: seeds }, (_, i) => stream(seed, 'linear head', i).integer(2 ** 31));
  const plans: HeadPlan[] = learningRates.flatMap((learningRate) =>
    headSeeds.map((headSeed) => ({ learningRate, seed: headSeed })),
  );
  // They choose the learning rate: they never see the held-out images. The others learn from all images at the same time.
  const choosers: HeadPlan[] = held
    ? learningRates.map((learningRate) => ({ learningRate, seed: headSeeds[0]!, learns: held.map((own) => !own) }))
    : [];
  // Known before any is trained on: random crops are then of these images, in every epoch and for every subject.
  progress.begin(`${source.name}, checking for changes`, train.indices.length, 'images');
  const contents = await contentDigest(train.source, train.indices, progress.advance);
  const saved = cache.progressOf({
    kind: 'linear heads',
    digest: source.digest,
    provider: subject.provider,
    fingerprint: sourceFingerprint(train.source),
    contents,
    indices: [...train.indices],
    ...{ resize, crop, quick, epochs, batchSize, learningRates, momentum, weightDecay, seeds, seed },
  });
  progress.begin(
    `${source.name}, training ${plural(plans.length + choosers.length, 'head')}`,
    epochs * train.indices.length,
    'images',
  );
  const { heads, skipped } = await trainHeads(
    (known) =>
      stored
        ? storedFeatures(stored.plain, stored.mirrored, train.indices, { seed, progress })
        : randomCropFeatures(subject, train, { crop, seed, batchSize, skipped: known, progress }),
    [...plans, ...choosers],
    {
      classes,
      epochs,
      batchSize,
      momentum,
      weightDecay,
      saved,
      ...(session && { session }),
      ...(saveSeconds !== undefined && { saveSeconds }),
    },
  );

  const headsAt = (rate: number) => heads.slice(rate * seeds, (rate + 1) * seeds);
  const heldOut = heldVectors
    ? await heldOutAccuracies(
        heads.slice(plans.length),
        learningRates.map((_, r) => headsAt(r)),
        heldVectors,
        session,
      )
    : undefined;
  const chosen = heldOut ? bestOf(heldOut, learningRates) : 0;
  const chosenHeads = headsAt(chosen);
  requireConverged(chosenHeads, learningRates[chosen]!);
  const ranks: Uint32Array[] = [];
  for (const { weights } of chosenHeads) ranks.push(await classRanks(weights!, tested, session));
  return {
    figures: topFigures(ranks, classes),
    items: embeddedNames(test, tested),
    curves: curvesOf(chosenHeads, ranks, heldOut && { rates: learningRates, accuracies: heldOut }),
    learningRate: learningRates[chosen]!,
    train: learnedFrom(train, skipped),
    test: usedOf(tested),
  };
}

const plural = (count: number, name: string) => `${count} ${name}${count === 1 ? '' : 's'}`;

/** The rows of the marked places, of those images that could be decoded. */
function embeddedAt(
  { vectors, labels, skipped }: EmbeddedImages,
  indices: readonly number[],
  marks: readonly boolean[],
): EmbeddedImages {
  const missing = new Set(skipped.map(({ index }) => index));
  const marked = new Set(indices.filter((_, place) => marks[place]));
  const channels = vectors.shape[1]!;
  const decoded = indices.flatMap((index, place) => (missing.has(index) ? [] : [place]));
  const rows = decoded.flatMap((place, row) => (marks[place] ? [row] : []));
  const data = new Float32Array(rows.length * channels);
  for (const [i, row] of rows.entries()) {
    data.set(vectors.data.subarray(row * channels, (row + 1) * channels), i * channels);
  }
  return {
    vectors: tensor('float32', [rows.length, channels], data),
    labels: Uint32Array.from(rows, (row) => labels[row]!),
    skipped: skipped.filter(({ index }) => marked.has(index)),
  };
}

/** Top-1 accuracy on the held-out images at each learning rate; NaN where a head diverged. */
async function heldOutAccuracies(
  choosers: readonly TrainedHead[],
  finals: readonly (readonly TrainedHead[])[],
  held: EmbeddedImages,
  session: SessionConfig | undefined,
): Promise<number[]> {
  const accuracies: number[] = [];
  for (const [i, { weights }] of choosers.entries()) {
    const usable = weights !== undefined && finals[i]!.every((head) => head.weights !== undefined);
    accuracies.push(usable ? topShare(await classRanks(weights, held, session), 1) : Number.NaN);
  }
  return accuracies;
}

function noneHeldOut(count: number, [first]: EmbeddedImages['skipped']): DataError {
  return new DataError(
    'undecodable',
    `none of the ${count} training images that are held out to choose a learning rate can be decoded, such as ${first!.name}: ${first!.reason}; repair them, or give --lr once`,
  );
}

/** Place of the best accuracy, and of the lower rate among equals. @throws DivergedError where none is finite. */
function bestOf(accuracies: readonly number[], rates: readonly number[]): number {
  const finite = rates.map((_, i) => i).filter((i) => Number.isFinite(accuracies[i]));
  const [best] = finite.sort((a, b) => accuracies[b]! - accuracies[a]! || rates[a]! - rates[b]!);
  if (best === undefined) {
    throw new DivergedError(`a linear head diverged at each learning rate (${rates.join(', ')}); use a lower --lr`);
  }
  return best;
}

/** @throws DivergedError where a head of the chosen rate diverged. */
function requireConverged(heads: readonly TrainedHead[], rate: number): void {
  const at = heads.find(({ weights }) => weights === undefined);
  if (at === undefined) return;
  throw new DivergedError(
    `a linear head diverged in epoch ${at.diverged! + 1} with a learning rate of ${rate}: its loss or weights are not finite; use a lower --lr`,
  );
}

function curvesOf(
  heads: readonly TrainedHead[],
  ranks: readonly Uint32Array[],
  sweep: { readonly rates: readonly number[]; readonly accuracies: readonly number[] } | undefined,
): ResultCurve[] {
  const losses = heads[0]!.losses.map((_, epoch) => heads.reduce((sum, head) => sum + head.losses[epoch]!, 0));
  const curves: ResultCurve[] = [
    {
      name: 'training_loss',
      label: 'training loss',
      x: { label: 'epoch', values: losses.map((_, epoch) => epoch + 1) },
      y: { label: 'cross-entropy', unit: 'number', values: losses.map((sum) => sum / heads.length) },
    },
  ];
  if (ranks.length > 1) {
    curves.push({
      name: 'top1_by_seed',
      label: `${TOP1} of each head`,
      x: { label: 'seed', values: ranks.map((_, i) => i) },
      y: { label: TOP1, unit: 'share', values: ranks.map((own) => topShare(own, 1)) },
    });
  }
  if (sweep) {
    const values = sweep.accuracies.map((accuracy) => (Number.isFinite(accuracy) ? accuracy : null));
    curves.push({
      name: 'held_out_top1',
      label: `${TOP1} on held-out training images`,
      x: { label: 'learning rate', values: [...sweep.rates] },
      y: { label: TOP1, unit: 'share', values },
    });
  }
  return curves;
}

/** Training images without those that were skipped. */
function learnedFrom({ labels, indices }: LabelledImages, skipped: EmbeddedImages['skipped']): LinearMeasures['train'] {
  const missing = new Set(skipped.map(({ index }) => index));
  return { labels: labels.filter((_, place) => !missing.has(indices[place]!)), skipped };
}
