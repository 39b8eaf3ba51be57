import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { openImageSource } from '../data/sources.js';
import { compareKnnWithRandom, type KnnAccuracy } from '../evaluate/knnAccuracy.js';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { type Duplicates, findDuplicates } from '../probe/duplicates.js';
import { splitLabelled } from '../probe/labelledImages.js';
import { showProgress } from '../progress/work.js';
import { addEngineFlags, type EngineFlags, sayOnce, startBatchEngine } from './engine.js';
import {
  addEvaluatedFlags,
  askedSizes,
  type EvaluatedFlags,
  type EvaluatedModel,
  openEvaluated,
} from './evaluatedModel.js';
import { skippedText } from './skippedText.js';
import { wholeNumber } from './wholeNumber.js';

interface KnnFlags extends EngineFlags, EvaluatedFlags {
  readonly train: string;
  readonly test?: string;
  readonly k?: number;
  readonly temperature?: number;
  readonly trainImages?: number;
  readonly testImages?: number;
  readonly resize?: number;
  readonly crop?: number;
  readonly seed?: number;
  readonly out?: string;
}

const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);

function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a number above 0.');
}

/** `vicregl evaluate knn`: k-NN classification by a model's representations. */
export function registerEvaluateKnn(evaluate: Command): void {
  const command = evaluate
    .command('knn')
    .description(
      'Measure the k-NN accuracy on labelled images (cosine similarity of representations), compared with the same network with random weights.',
    )
    .requiredOption('--train <path>', 'labelled images: one folder per class, an archive of those, a list or shards')
    .option('--test <path>', 'labelled images to classify (default: a fifth of --train is held out)')
    .option('--k <count>', "number of neighbours that vote (default: that of the run's probe, or 20)", count)
    .option(
      '--temperature <number>',
      "the weight of a vote is exp(similarity / temperature) (default: that of the run's probe, or 0.07)",
      positive,
    )
    .option('--train-images <count>', 'maximum number of training images (default: all)', count)
    .option('--test-images <count>', 'maximum number of test images (default: all)', count)
    .option('--crop <pixels>', "side of the network's input (default: that of the model, or of the run's probe)", count)
    .option(
      '--resize <pixels>',
      'length of the shortest side before the central crop (default: that of the model, or 256/224 of the crop)',
      count,
    )
    .option(
      '--seed <number>',
      'random seed of the image selection, random weights and bootstrap (default: that of the run, or 0)',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--out <file.json>', 'also write the results to a file');
  addEngineFlags(addEvaluatedFlags(command)).action(async (flags: KnnFlags) => {
    if (flags.out !== undefined) await checkOutputFile('--out', flags.out);
    const scratch = await mkdtemp(join(tmpdir(), 'vicregl-'));
    try {
      await evaluateKnn(await openEvaluated(flags, scratch), flags);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

async function evaluateKnn({ folder, sizes, config }: EvaluatedModel, flags: KnnFlags): Promise<void> {
  const { threads, trainImages = Number.MAX_SAFE_INTEGER, testImages = Number.MAX_SAFE_INTEGER } = flags;
  const { name, version } = folder.manifest;
  // The settings of the run's own probe, so that both give the same result.
  const k = flags.k ?? config?.probe?.knn?.k ?? 20;
  const temperature = flags.temperature ?? config?.probe?.knn?.temperature ?? 0.07;
  const seed = flags.seed ?? config?.seed ?? 0;
  const options = { k, temperature, seed, ...askedSizes(flags, sizes) };
  const train = await openImageSource(flags.train, { labels: 'auto', given: '--train' });
  const test =
    flags.test === undefined ? undefined : await openImageSource(flags.test, { labels: 'auto', given: '--test' });
  const progress = showProgress();
  const log = sayOnce(progress.note);
  try {
    const split = splitLabelled(train, test, { trainImages, testImages, seed });
    const duplicates = await findDuplicates(split, { progress });
    if (duplicates.count > 0) log(duplicatesText(duplicates, split.test.indices.length));
    const { trained, random, gainInterval } = await compareKnnWithRandom(
      folder,
      split,
      (each) => startBatchEngine(each, flags, log),
      { ...options, progress, ...(threads !== undefined && { session: { threads } }) },
    );
    progress.stop();
    const report = {
      model: `${name} ${version}`,
      ...options,
      classes: split.classes.length,
      train_images: trained.trainImages,
      test_images: trained.testImages,
      skipped: skippedText(trained.skipped),
      duplicates: { count: duplicates.count, by: duplicates.by },
      trained: figures(trained),
      random: figures(random),
      gain_interval: gainInterval.map(rounded),
    };
    const text = `${JSON.stringify(report, null, 2)}\n`;
    process.stdout.write(text);
    // Printed first, so that a full disk does not lose the results.
    const { out } = flags;
    if (out !== undefined) await writeOutputFile('--out', out, text);
  } finally {
    progress.stop();
    await train.close();
    await test?.close();
  }
}

function duplicatesText({ count, by, example }: Duplicates, tested: number): string {
  const how = by === 'content' ? 'same content' : 'same files';
  return (
    `warning: ${count} of ${tested} test images are also training images (${how}), such as ${example!.test}` +
    `${example!.test === example!.train ? '' : ` = ${example!.train}`}: they are their own nearest neighbours, so the accuracy is too high`
  );
}

const rounded = (value: number) => Number(value.toFixed(4));

function figures({ top1, interval1, top5, interval5 }: KnnAccuracy) {
  return {
    top1: rounded(top1),
    top1_interval_95: interval1.map(rounded),
    top5: rounded(top5),
    top5_interval_95: interval5.map(rounded),
  };
}
