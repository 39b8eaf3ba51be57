import { readFile, stat } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { fileProblem } from '../files/fileProblem.js';
import { freePath } from '../files/freePath.js';
import { makeFolder, writeOutputFile } from '../files/output.js';
import { packageVersion } from '../models/packageVersion.js';
import { env as ortEnv } from '../onnx/runtime.js';
import { type Checkpoint, type CheckpointChoice, loadCheckpoint } from './checkpoint.js';
import { ConfigError, parseRecordedConfig, type TrainConfig } from './config.js';
import { applySettings, parseYaml, type RawConfig, type Setting, setKeys } from './configFile.js';
import type { InitialSource } from './initialSource.js';
import { checkResumedSettings, configOf } from './resume.js';

/** The files of a run folder other than log and checkpoints: config.yaml and environment.json. */

const configPath = (run: string) => join(run, 'config.yaml');

const environmentPath = (run: string) => join(run, 'environment.json');

/** The weights that a run started from; undefined for one whose weights were drawn. */
export async function initialSourceOf(run: string): Promise<InitialSource | undefined> {
  const text = await readFile(environmentPath(run), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return (JSON.parse(text) as { readonly init?: InitialSource }).init;
  } catch {
    // Damaged, or not ours: nothing in it can be kept.
    return undefined;
  }
}

async function readConfigFile(run: string): Promise<string | undefined> {
  const path = configPath(run);
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
    throw new ConfigError(`${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });
}

/** Whether a run was started in the folder. @throws ConfigError for a config.yaml that cannot be read */
export async function holdsRun(run: string): Promise<boolean> {
  return (await readConfigFile(run)) !== undefined;
}

/**
 * The configuration that a run was started with, with `key=value` settings over it.
 * @throws ConfigError when the folder holds no run or its config.yaml is damaged, or for a key that a resumed run may not change.
 */
export async function readRunConfig(run: string, settings: readonly Setting[] = []): Promise<TrainConfig> {
  const text = await readConfigFile(run);
  if (text === undefined) {
    const missing = await stat(run).catch((cause: unknown) => fileProblem(cause));
    throw new ConfigError(
      `${run} is not a run folder: ${typeof missing === 'string' ? missing : 'it holds no config.yaml'}`,
    );
  }
  checkResumedSettings(settings);
  const path = configPath(run);
  return parseRecordedConfig(applySettings(parseYaml(text, path) as RawConfig, settings), path, setKeys(settings));
}

/**
 * A run's checkpoint with the configuration of its network: the checkpoint's own, since config.yaml may have been edited
 * since; that of config.yaml for a checkpoint of an older version. The licence is that of the current config.yaml: it is not
 * part of what the checkpoint was trained with.
 * @throws ConfigError for a folder without a run, CheckpointError.
 */
export async function loadRun(
  run: string,
  choice?: CheckpointChoice,
): Promise<{ readonly checkpoint: Checkpoint; readonly config: TrainConfig }> {
  const written = await readRunConfig(run);
  const checkpoint = await loadCheckpoint(run, choice);
  const { license: _, ...trained } = configOf(checkpoint) ?? written;
  const { license } = written;
  return { checkpoint, config: { ...trained, ...(license !== undefined && { license }) } };
}

/** Keeps a configuration as `config.until-step-N.yaml` (or `.2.yaml` and so on), if that of the name is another one. */
async function keepConfig(run: string, step: number, text: string): Promise<void> {
  const path = join(run, `config.until-step-${step}.yaml`);
  const kept = await readFile(path, 'utf8').catch(() => undefined);
  if (kept !== text) await writeOutputFile('the run folder', await freePath(path), text);
}

/** Keeps config.yaml, before a run goes back to a step before N. */
export async function keepRunConfig(run: string, step: number): Promise<void> {
  const text = await readConfigFile(run);
  if (text !== undefined) await keepConfig(run, step, text);
}

/**
 * Writes config.yaml and environment.json. An equal file is not rewritten; a configuration that a resumed run
 * changed is kept next to it as `config.until-step-N.yaml`.
 * @param before the configuration of the steps so far; config.yaml by default.
 * @param init the weights that the run started from; by default those that environment.json names.
 * @throws OutputError naming the file that cannot be written.
 */
export async function writeRunFolder(
  run: string,
  config: TrainConfig,
  {
    device,
    threads,
    ranks,
    step,
    before,
    init,
  }: {
    readonly device: string;
    /** Threads of the training step; all processors by default. */
    readonly threads?: number | undefined;
    /** Processes that share each batch; 1 by default. */
    readonly ranks?: number;
    readonly step: number;
    readonly before?: TrainConfig | undefined;
    readonly init?: InitialSource | undefined;
  },
): Promise<void> {
  await makeFolder(run);
  const text = await readConfigFile(run);
  const written =
    text === undefined ? undefined : parseRecordedConfig(parseYaml(text, configPath(run)), configPath(run));
  const until = before ?? written;
  if (until !== undefined && !isDeepStrictEqual(until, config)) {
    await keepConfig(run, step, stringify(until));
  }
  if (!isDeepStrictEqual(written, config)) await writeOutputFile('the run folder', configPath(run), stringify(config));
  const startedFrom = init ?? (await initialSourceOf(run));
  const environment = {
    vicregl: packageVersion(),
    node: process.version,
    onnxruntime: ortEnv.versions.node,
    device,
    ranks: ranks ?? 1,
    threads: threads ?? availableParallelism(),
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    ...(startedFrom !== undefined && { init: startedFrom }),
  };
  await writeOutputFile('the run folder', environmentPath(run), `${JSON.stringify(environment, null, 2)}\n`);
}
