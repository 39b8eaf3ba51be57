import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { exportModel } from '../models/exportModel.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import type { CheckpointChoice } from '../train/checkpoint.js';
import { ConfigError, type TrainConfig } from '../train/config.js';
import { probeSizes } from '../train/probeSchema.js';
import { loadRun } from '../train/runFolder.js';
import { checkpointOption } from './checkpointFlag.js';
import { bundledModelFolder } from './defaults.js';
import { ofInput } from './ofInput.js';
import { runModel } from './runModel.js';

/** What is evaluated: a model, or a checkpoint of a run. */
export interface EvaluatedFlags {
  readonly model?: string;
  readonly run?: string;
  readonly checkpoint?: CheckpointChoice;
}

/** A model on its way to an evaluation. */
export interface EvaluatedModel {
  readonly folder: ModelFolder;
  /** Sides of its images in pixels, unless flags say others: a run's are those of its probes, and so of its training. */
  readonly sizes: { readonly resize: number; readonly crop: number };
  /** Of a run. */
  readonly config?: TrainConfig;
}

/** Adds --model, --run and --checkpoint. */
export function addEvaluatedFlags(command: Command): Command {
  return command
    .option('--model <dir>', 'model folder (default: the bundled model)')
    .option('--run <dir>', 'run folder of vicregl train, in place of a model')
    .addOption(checkpointOption("the run's checkpoint: latest (the default), best, or the number of a step"));
}

/**
 * Opens the model that was asked for; a run's checkpoint is exported first.
 * @param scratch folder for it.
 * @throws ConfigError for flags that do not go together or a folder that is no run, ModelFolderError, CheckpointError.
 */
export async function openEvaluated(
  { model, run, checkpoint: choice }: EvaluatedFlags,
  scratch: string,
): Promise<EvaluatedModel> {
  if (run === undefined) {
    if (choice !== undefined) throw new ConfigError('--checkpoint goes with --run');
    const dir = model ?? bundledModelFolder;
    const folder = await ofInput('--model', dir, () => openModelFolder(dir));
    const { resize, crop } = folder.manifest.preprocessing;
    return { folder, sizes: { resize, crop } };
  }
  if (model !== undefined) throw new ConfigError('give --model or --run, not both');
  const { checkpoint, config } = await loadRun(run, choice);
  const source = {
    ...runModel(config, checkpoint, 'last'),
    name: basename(resolve(run)),
    version: `step ${checkpoint.step}`,
    writeExpander: false,
    license: 'unpublished',
    training: {},
  };
  const dir = join(scratch, 'model');
  await exportModel(dir, source, { precision: 'float32', check: false });
  return { folder: await openModelFolder(dir), sizes: probeSizes(config), config };
}

/** The sides that flags ask for, else the model's; another crop alone brings the paper's ratio of both. */
export function askedSizes(
  { resize, crop }: { readonly resize?: number; readonly crop?: number },
  sizes: EvaluatedModel['sizes'],
): EvaluatedModel['sizes'] {
  if (crop === undefined) return { crop: sizes.crop, resize: resize ?? sizes.resize };
  return { crop, resize: resize ?? Math.round((crop * 256) / 224) };
}
