import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { exportModel } from '../../models/exportModel.js';
import { type ModelFolder, openModelFolder } from '../../models/folder.js';
import type { CheckpointChoice } from '../../train/checkpoint.js';
import { ConfigError, type TrainConfig } from '../../train/config.js';
import { probeSizes } from '../../train/probeSchema.js';
import { loadRun } from '../../train/runFolder.js';
import { checkpointOption } from '../checkpointFlag.js';
import { bundledModelFolder } from '../defaults.js';
import { openModel } from '../modelFolders.js';
import { ofInput } from '../ofInput.js';
import { runModel } from '../runModel.js';

/** Flags that select what is evaluated: a model, or a checkpoint of a run. */
export interface EvaluatedFlags {
  readonly model?: string;
  readonly run?: string;
  readonly checkpoint?: CheckpointChoice;
}

/** A model to be evaluated. */
export interface EvaluatedModel {
  readonly folder: ModelFolder;
  /** Default sizes of its images in pixels: those of the manifest, or of a run's probes (by default those of its crops). */
  readonly sizes: { readonly resize: number; readonly crop: number };
  /** Of a run. */
  readonly config?: TrainConfig;
}

/** Adds --model, --run and --checkpoint. */
export function addEvaluatedFlags(command: Command): Command {
  return command
    .option('--model <model>', 'model folder, by path or by name (default: the bundled model)')
    .option('--run <dir>', 'run folder of vicregl train, instead of a model')
    .addOption(checkpointOption('checkpoint of the run: latest (default), best, or a step number'));
}

/**
 * Opens the selected model; a run's checkpoint is exported first.
 * @param scratch temporary folder for the export.
 * @throws ConfigError for flags that cannot be combined or a folder that is not a run, ModelFolderError, CheckpointError.
 */
export async function openEvaluated(
  { model, run, checkpoint: choice }: EvaluatedFlags,
  scratch: string,
): Promise<EvaluatedModel> {
  if (run === undefined) {
    if (choice !== undefined) throw new ConfigError('--checkpoint requires --run');
    const dir = model ?? bundledModelFolder;
    const folder = await ofInput('--model', dir, () => openModel(dir));
    const { resize, crop } = folder.manifest.preprocessing;
    return { folder, sizes: { resize, crop } };
  }
  if (model !== undefined) throw new ConfigError('use --model or --run, not both');
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

/** The sizes of the flags, else the model's. If only the crop is given, the resize follows by the paper's ratio. */
export function askedSizes(
  { resize, crop }: { readonly resize?: number; readonly crop?: number },
  sizes: EvaluatedModel['sizes'],
): EvaluatedModel['sizes'] {
  if (crop === undefined) return { crop: sizes.crop, resize: resize ?? sizes.resize };
  return { crop, resize: resize ?? Math.round((crop * 256) / 224) };
}
