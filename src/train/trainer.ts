import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { env as ortEnv } from 'onnxruntime-node';
import writeFileAtomic from 'write-file-atomic';
import { parse, stringify } from 'yaml';
import { createLoader } from '../data/loader.js';
import { openImageSource } from '../data/sources.js';
import { checkParameters } from '../nn/parameters.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  type Checkpoint,
  CheckpointError,
  listCheckpoints,
  loadLatestCheckpoint,
  saveCheckpoint,
  setCheckpointAside,
} from './checkpoint.js';
import { ConfigError, parseTrainConfig, type TrainConfig } from './config.js';
import { loaderOptionsOf, stepConfigOf } from './plan.js';
import type { Progress } from './progress.js';
import { openRunLog } from './runLog.js';
import { learningRate } from './schedule.js';
import { buildStep, type StepConfig, type StepGraph } from './stepGraph.js';
import { createStepRunner, stateSpecs } from './stepRunner.js';

/** Pretraining: photographs in, checkpoints and a log out. */

/** A loss term, a monitor or a weight became infinite or not a number; the newest checkpoint is from before. */
class NonFiniteLossError extends Error {
  override readonly name = 'NonFiniteLossError';
}

export interface TrainOptions {
  /** Run folder: config.yaml, environment.json, log.jsonl, checkpoints/. */
  readonly run: string;
  readonly device: 'cpu' | 'cuda';
  /** Continue the run in the folder; its own configuration is used. */
  readonly resume: boolean;
  /** Stops after the step that runs, saves, and returns. */
  readonly signal?: AbortSignal;
  readonly createProgress: (start: number, total: number) => Progress;
}

export interface TrainResult {
  readonly steps: number;
  readonly totalSteps: number;
  /** Path of the newest checkpoint. */
  readonly checkpoint: string;
}

const configPath = (run: string) => join(run, 'config.yaml');

/** The configuration that a run was started with. @throws ConfigError when the folder holds no run. */
export async function readRunConfig(run: string): Promise<TrainConfig> {
  const path = configPath(run);
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new ConfigError(`${run} is not a run folder: ${cause.message}`, { cause });
  });
  return parseTrainConfig(parse(text), path);
}

/** The checkpoint's state; empty for a run that starts, whose state the runner initialises. */
function initialState(
  step: StepGraph,
  config: StepConfig,
  checkpoint: Checkpoint | undefined,
): ReadonlyMap<string, Tensor> {
  if (checkpoint === undefined) return new Map();
  const problems = checkParameters(stateSpecs(step, config), checkpoint.tensors);
  if (problems.length > 0) {
    throw new CheckpointError(`the checkpoint does not fit the configuration:\n  ${problems.join('\n  ')}`);
  }
  return checkpoint.tensors;
}

async function writeRunFolder(run: string, config: TrainConfig, options: TrainOptions): Promise<void> {
  await mkdir(run, { recursive: true });
  await writeFileAtomic(configPath(run), stringify(config));
  const environment = {
    node: process.version,
    onnxruntime: ortEnv.versions.node,
    device: options.device,
    threads: config.threads ?? availableParallelism(),
    platform: `${process.platform} ${process.arch}`,
  };
  await writeFileAtomic(join(run, 'environment.json'), `${JSON.stringify(environment, null, 2)}\n`);
}

/**
 * Trains to the end of the configured epochs, or to the end of the step during which the signal is aborted.
 * @throws ConfigError, DataError, CheckpointError, DeviceError before the first step; NonFiniteLossError during it.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  const { run, device, resume, signal } = options;
  if (!resume && existsSync(configPath(run))) {
    throw new ConfigError(`${run} holds a run already; continue it with --resume, or choose another --out`);
  }
  const source = await openImageSource(config.data.source, { labels: config.data.labels });
  const stepConfig = stepConfigOf(config, source.classes?.length);
  const step = buildStep(stepConfig);
  const checkpoint = resume ? await loadLatestCheckpoint(run) : undefined;
  const initial = initialState(step, stepConfig, checkpoint);
  const loader = createLoader(loaderOptionsOf(config, source));
  try {
    const { stepsPerEpoch } = loader;
    const totalSteps = Math.max(1, Math.round(config.epochs * stepsPerEpoch));
    const schedule = {
      baseLr: config.optimizer.baseLr,
      batchSize: config.batchSize,
      warmupSteps: Math.round(config.warmupEpochs * stepsPerEpoch),
      totalSteps,
      endLrRatio: config.endLrRatio,
    };
    const runner = await createStepRunner(step, stepConfig, config.model.dropPath, initial, config.seed, {
      device,
      ...(config.threads !== undefined && { threads: config.threads }),
    });
    // Only now, when the source, the graph and the device have proved usable.
    if (!resume) await writeRunFolder(run, config, options);
    const start = checkpoint?.step ?? 0;
    const log = await openRunLog(run, start);
    const progress = options.createProgress(start, totalSteps);
    let saved = checkpoint?.step ?? -1;
    const diverged = async (step: number, what: string): Promise<NonFiniteLossError> => {
      // A checkpoint of the state before this very step leads to the same place.
      if (saved === step - 1) await setCheckpointAside(run, saved);
      const good = (await listCheckpoints(run)).at(-1);
      const last = good === undefined ? 'there is no checkpoint from before' : `the checkpoint of step ${good} is good`;
      return new NonFiniteLossError(
        `step ${step}: ${what}; training stopped, ${last}. Lower optimizer.baseLr or lengthen warmupEpochs.`,
      );
    };
    const save = async (steps: number): Promise<string> => {
      const tensors = runner.state();
      for (const [name, { data }] of tensors) {
        const bad = (data as Float32Array).find((value) => !Number.isFinite(value));
        if (bad !== undefined) throw await diverged(steps, `after the update ${name} holds ${bad}`);
      }
      const path = await saveCheckpoint(run, { step: steps, seed: config.seed, tensors }, config.keepCheckpoints);
      saved = steps;
      return path;
    };
    try {
      let at = start;
      let path = '';
      const skipped = new Set(log.skipped);
      while (at < totalSteps && !signal?.aborted) {
        const began = performance.now();
        const batch = await loader.batch(at);
        const loaded = performance.now();
        for (const { name, reason } of batch.skipped) {
          if (skipped.has(name)) continue;
          skipped.add(name);
          progress.note(`skipped ${name}: ${reason} (${skipped.size} so far)`);
          await log.write({ step: at + 1, skipped: name, reason });
        }
        const lr = learningRate(at, schedule);
        const terms = await runner.run(at, lr, batch);
        const bad = Object.entries(terms).find(([, value]) => !Number.isFinite(value));
        if (bad !== undefined) throw await diverged(at + 1, `${bad[0]} is ${bad[1]}`);
        const ended = performance.now();
        at += 1;
        const record = {
          step: at,
          epoch: batch.epoch,
          lr,
          ...terms,
          images_per_s: config.batchSize / ((ended - began) / 1e3),
          wait_share: (loaded - began) / (ended - began),
        };
        await log.write(record);
        progress.step(record);
        if (at % config.checkpointSteps === 0 || at === totalSteps) path = await save(at);
      }
      if (path === '' || saved !== at) path = await save(at);
      return { steps: at, totalSteps, checkpoint: path };
    } finally {
      progress.stop();
      await runner.close();
    }
  } finally {
    await loader.close();
  }
}
