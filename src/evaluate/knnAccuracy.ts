import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SkippedImage } from '../data/sample.js';
import type { Engine, OutputName } from '../engine/engine.js';
import { planInput } from '../image/resize.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { writeRandomModel } from '../models/randomModel.js';
import type { SessionConfig } from '../onnx/session.js';
import { embedImages } from '../probe/embedImages.js';
import { createKnn } from '../probe/knn.js';
import type { LabelledSplit } from '../probe/labelledImages.js';
import { silentProgress, type WorkProgress } from '../progress/work.js';
import { bootstrapInterval } from './bootstrap.js';
import { requireImages } from './requireImages.js';
import { runsOf } from './runsOf.js';

/** k-NN classification of a model's representations beside the same network with random weights, on the same images. */

export interface KnnAccuracyOptions {
  /** Neighbours that vote. */
  readonly k: number;
  readonly temperature: number;
  /** Shortest side of the images before the central square of `crop` pixels is cut out. */
  readonly resize: number;
  readonly crop: number;
  /** Of the random weights and the bootstrap. */
  readonly seed: number;
  /** How neighbours are searched for. */
  readonly session?: SessionConfig;
  readonly progress?: WorkProgress;
}

export interface KnnAccuracy {
  /** Share of the test images whose class has the most votes, and is among the five with the most. */
  readonly top1: number;
  readonly top5: number;
  /** 95 % bootstrap intervals over the test images. */
  readonly interval1: readonly [number, number];
  readonly interval5: readonly [number, number];
  /** 1 for each test image that is right, else 0; in the order of the split. */
  readonly right: Uint8Array;
  /** Images that were learned from and tested on. */
  readonly trainImages: number;
  readonly testImages: number;
  /** Images that cannot be decoded, and were left out. */
  readonly skipped: readonly SkippedImage[];
}

export interface KnnComparison {
  readonly trained: KnnAccuracy;
  readonly random: KnnAccuracy;
  /** 95 % bootstrap interval of the difference of top-1 (trained less random), paired by image. */
  readonly gainInterval: readonly [number, number];
}

const BATCH = 32;
const WANTED: ReadonlySet<OutputName> = new Set(['representation']);

async function measure(
  engine: Engine,
  split: LabelledSplit,
  options: KnnAccuracyOptions,
  name: string,
): Promise<KnnAccuracy> {
  const { k, temperature, resize, crop, seed, session, progress = silentProgress } = options;
  const knn = createKnn({ k, temperature, classes: split.classes.length }, session);
  try {
    const preparation = {
      resize,
      crop,
      stride: engine.manifest.stride,
      batchSize: BATCH,
      runs: runsOf(engine),
      progress,
    };
    const embed = (images: LabelledSplit['train']) =>
      embedImages(images, async (batch) => (await engine.run(batch, WANTED)).representation!, preparation);
    progress.begin(`${name}, embedding`, split.train.indices.length + split.test.indices.length, 'images');
    const [bank, queries] = [await embed(split.train), await embed(split.test)];
    requireImages(queries.labels.length, queries.skipped);
    progress.begin(`${name}, classifying`, queries.labels.length, 'images');
    const ranks = await knn.ranks(bank, queries, progress);
    const [right, rightOfFive] = [1, 5].map((n) => Uint8Array.from(ranks, (rank) => (rank < n ? 1 : 0)));
    const mean = (values: Uint8Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
    return {
      top1: mean(right!),
      top5: mean(rightOfFive!),
      interval1: bootstrapInterval(right!, { seed }),
      interval5: bootstrapInterval(rightOfFive!, { seed }),
      right: right!,
      trainImages: bank.labels.length,
      testImages: queries.labels.length,
      skipped: [...bank.skipped, ...queries.skipped],
    };
  } finally {
    await knn.close();
    await engine.close();
  }
}

/**
 * @param startEngine runs a model folder; every engine that it starts is closed here.
 * @throws ImageError for sizes that do not fit the model, RangeError for fewer images than neighbours, DataError for fewer
 *   than two test images that can be decoded, EngineError.
 */
export async function compareKnnWithRandom(
  model: ModelFolder,
  split: LabelledSplit,
  startEngine: (folder: ModelFolder) => Promise<Engine>,
  options: KnnAccuracyOptions,
): Promise<KnnComparison> {
  const { resize, crop, seed } = options;
  planInput({ width: resize, height: resize }, { kind: 'shortestSide', resize, crop }, model.manifest.stride);
  requireImages(split.test.indices.length);
  const scratch = await mkdtemp(join(tmpdir(), 'vicregl-'));
  try {
    const dir = join(scratch, 'random');
    await writeRandomModel(dir, model.manifest, seed);
    const trained = await measure(await startEngine(model), split, options, 'trained weights');
    const random = await measure(await startEngine(await openModelFolder(dir)), split, options, 'random weights');
    const gain = Array.from(trained.right, (right, i) => right - random.right[i]!);
    return { trained, random, gainInterval: bootstrapInterval(gain, { seed }) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
