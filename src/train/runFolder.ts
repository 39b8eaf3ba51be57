import { readFile, rename } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { env as ortEnv } from 'onnxruntime-node';
import writeFileAtomic from 'write-file-atomic';
import { parse, stringify } from 'yaml';
import { makeFolder } from '../files/output.js';
import { packageVersion } from '../models/packageVersion.js';
import { ConfigError, parseTrainConfig, type TrainConfig } from './config.js';
import { applySettings, type RawConfig } from './configFile.js';

/** What stands in a run folder beside log and checkpoints: config.yaml and environment.json. */

const configPath = (run: string) => join(run, 'config.yaml');

/**
 * Keys that a resumed run may change: how fast and how long it goes on, not what it is. Anything else would make the
 * checkpoint mean something different.
 */
const CHANGEABLE =
  /^(optimizer\.(?!kind|emaDecay)\w+|epochs|warmupEpochs|endLrRatio|threads|checkpoints\.[\w.]+|alarm\.[\w.]+|data\.(workers|cacheBytes|prefetchBytes))=/;

async function readConfigFile(run: string): Promise<string | undefined> {
  return readFile(configPath(run), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}

/** Whether a run was started in the folder. */
export async function holdsRun(run: string): Promise<boolean> {
  return (await readConfigFile(run)) !== undefined;
}

/**
 * The configuration that a run was started with, with `key=value` settings over it.
 * @throws ConfigError when the folder holds no run, or for a key that a resumed run may not change.
 */
export async function readRunConfig(run: string, settings: readonly string[] = []): Promise<TrainConfig> {
  const text = await readConfigFile(run);
  if (text === undefined) throw new ConfigError(`${run} is not a run folder: it holds no config.yaml`);
  const refused = settings.find((setting) => !CHANGEABLE.test(setting));
  if (refused !== undefined) {
    throw new ConfigError(
      `--set ${refused}: a resumed run may change optimizer keys (but not kind or emaDecay), epochs, warmupEpochs, endLrRatio, ` +
        'threads, checkpoints, alarm, data.workers, data.cacheBytes and data.prefetchBytes; start another run for the rest',
    );
  }
  return parseTrainConfig(applySettings(parse(text) as RawConfig, settings), configPath(run));
}

/**
 * Writes config.yaml and environment.json. A configuration that a resumed run changed stays beside as
 * `config.until-step-N.yaml`.
 */
export async function writeRunFolder(run: string, config: TrainConfig, device: string, step: number): Promise<void> {
  await makeFolder(run);
  const [before, now] = [await readConfigFile(run), stringify(config)];
  if (before !== undefined && before !== now)
    await rename(configPath(run), join(run, `config.until-step-${step}.yaml`));
  await writeFileAtomic(configPath(run), now);
  const environment = {
    vicregl: packageVersion(),
    node: process.version,
    onnxruntime: ortEnv.versions.node,
    device,
    threads: config.threads ?? availableParallelism(),
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
  };
  await writeFileAtomic(join(run, 'environment.json'), `${JSON.stringify(environment, null, 2)}\n`);
}
