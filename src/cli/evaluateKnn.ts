import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { openImageSource } from '../data/sources.js';
import { compareKnnWithRandom, type KnnAccuracy } from '../evaluate/knnAccuracy.js';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { exportModel } from '../models/exportModel.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { splitLabelled } from '../probe/labelledImages.js';
import { type CheckpointChoice, loadCheckpoint } from '../train/checkpoint.js';
import { ConfigError } from '../train/config.js';
import { readRunConfig } from '../train/runFolder.js';
import { checkpointOption } from './checkpointFlag.js';
import { bundledModelFolder } from './defaults.js';
import { addEngineFlags, type EngineFlags, startEngine } from './engine.js';
import { runModel } from './runModel.js';
import { wholeNumber } from './wholeNumber.js';

interface KnnFlags extends EngineFlags {
  readonly train: string;
  readonly test?: string;
  readonly model?: string;
  readonly run?: string;
  readonly checkpoint?: CheckpointChoice;
  readonly k: number;
  readonly temperature: number;
  readonly trainImages: number;
  readonly testImages: number;
  readonly resize?: number;
  readonly crop?: number;
  readonly seed: number;
  readonly out?: string;
}

const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);

function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a number over 0.');
}

/** `vicregl evaluate knn`: how well neighbours among a model's representations name the class. */
export function registerEvaluateKnn(evaluate: Command): void {
  const command = evaluate
    .command('knn')
    .description(
      'Share of labelled images that their nearest neighbours (cosine similarity of representations) classify rightly, beside the same network with random weights.',
    )
    .requiredOption(
      '--train <path>',
      'labelled images: one folder for each class, an archive of those, a list or shards',
    )
    .option('--test <path>', 'labelled images to classify (default: a fifth of --train is held out)')
    .option('--model <dir>', 'model folder (default: the bundled model)')
    .option('--run <dir>', 'run folder of vicregl train, in place of a model')
    .addOption(checkpointOption("the run's checkpoint: latest (the default), best, or the number of a step"))
    .option('--k <count>', 'neighbours that vote', count, 20)
    .option('--temperature <number>', 'a vote weighs exp(similarity / temperature)', positive, 0.07)
    .option('--train-images <count>', 'most images to look for neighbours among', count, Number.MAX_SAFE_INTEGER)
    .option('--test-images <count>', 'most images to classify', count, Number.MAX_SAFE_INTEGER)
    .option('--crop <pixels>', "side of the network's input (default: the model's)", count)
    .option(
      '--resize <pixels>',
      "shortest side before the central crop (default: the model's, or 256/224 of --crop)",
      count,
    )
    .option('--seed <number>', 'fixes images, random weights and bootstrap', wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--out <file.json>', 'write the figures to a file too');
  addEngineFlags(command).action(async (flags: KnnFlags) => {
    if (flags.out !== undefined) await checkOutputFile('--out', flags.out);
    const scratch = await mkdtemp(join(tmpdir(), 'vicregl-'));
    try {
      await evaluateKnn(await evaluatedModel(flags, join(scratch, 'model')), flags);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

/** The model that was asked for; a run's checkpoint is exported to the folder. */
async function evaluatedModel({ model, run, checkpoint: choice }: KnnFlags, folder: string): Promise<ModelFolder> {
  if (run === undefined) {
    if (choice !== undefined) throw new ConfigError('--checkpoint goes with --run');
    return openModelFolder(model ?? bundledModelFolder);
  }
  if (model !== undefined) throw new ConfigError('give --model or --run, not both');
  const checkpoint = await loadCheckpoint(run, choice);
  const source = {
    ...runModel(await readRunConfig(run), checkpoint, 'last'),
    name: basename(resolve(run)),
    version: `step ${checkpoint.step}`,
    writeExpander: false,
    license: 'unpublished',
    training: {},
  };
  await exportModel(folder, source, { precision: 'float32', check: false });
  return openModelFolder(folder);
}

async function evaluateKnn(model: ModelFolder, flags: KnnFlags): Promise<void> {
  const { k, temperature, seed, trainImages, testImages, threads } = flags;
  const { name, version, preprocessing } = model.manifest;
  const crop = flags.crop ?? preprocessing.crop;
  const resized = flags.crop === undefined ? preprocessing.resize : Math.round((crop * 256) / 224);
  const options = { k, temperature, seed, crop, resize: flags.resize ?? resized };
  const train = await openImageSource(flags.train, { labels: 'auto' });
  const test = flags.test === undefined ? undefined : await openImageSource(flags.test, { labels: 'auto' });
  try {
    const split = splitLabelled(train, test, { trainImages, testImages, seed });
    const { trained, random, gainInterval } = await compareKnnWithRandom(
      model,
      split,
      (folder) => startEngine(folder, flags),
      { ...options, ...(threads !== undefined && { session: { threads } }) },
    );
    const report = {
      model: `${name} ${version}`,
      ...options,
      classes: split.classes.length,
      train_images: trained.trainImages,
      test_images: trained.testImages,
      skipped: trained.skipped.map((image) => `${image.name}: ${image.reason}`),
      trained: figures(trained),
      random: figures(random),
      gain_interval: gainInterval.map(rounded),
    };
    const text = `${JSON.stringify(report, null, 2)}\n`;
    process.stdout.write(text);
    // Printed first: a disk that has become full does not lose the figures.
    const { out } = flags;
    if (out !== undefined) await writeOutputFile('--out', out, text);
  } finally {
    await train.close();
    await test?.close();
  }
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
