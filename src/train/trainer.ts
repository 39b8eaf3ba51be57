import { type Batch, createLoader } from '../data/loader.js';
import { sourceFingerprint } from '../data/sourceFingerprint.js';
import { openImageSource } from '../data/sources.js';
import { checkParameters } from '../nn/parameters.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  type Checkpoint,
  CheckpointError,
  checkpointPath,
  listCheckpoints,
  loadLatestCheckpoint,
  saveCheckpoint,
  setCheckpointAside,
} from './checkpoint.js';
import { ConfigError, type TrainConfig } from './config.js';
import { createFusedRunner } from './fusedRunner.js';
import { networkSpecs } from './networkSpecs.js';
import { loaderOptionsOf, stepConfigOf } from './plan.js';
import type { Progress } from './progress.js';
import { holdsRun, writeRunFolder } from './runFolder.js';
import { openRunLog } from './runLog.js';
import { learningRate } from './schedule.js';
import type { StepConfig } from './stepConfig.js';
import { stateSpecs, type TrainingStep } from './stepRunner.js';

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

/** The checkpoint's state; empty for a run that starts, whose state the runner initialises. */
function initialState(config: StepConfig, checkpoint: Checkpoint | undefined): ReadonlyMap<string, Tensor> {
  if (checkpoint === undefined) return new Map();
  const problems = checkParameters(stateSpecs(networkSpecs(config), config), checkpoint.tensors);
  if (problems.length > 0) {
    throw new CheckpointError(`the checkpoint does not fit the configuration:\n  ${problems.join('\n  ')}`);
  }
  return checkpoint.tensors;
}

/** The checkpoint that a resumed run goes on from; none when it was ended before its first one. */
async function resumedCheckpoint(run: string, config: TrainConfig, data: string): Promise<Checkpoint | undefined> {
  if ((await listCheckpoints(run)).length === 0) return undefined;
  const checkpoint = await loadLatestCheckpoint(run);
  if (checkpoint.seed !== config.seed) {
    throw new CheckpointError(`the checkpoint has seed ${checkpoint.seed}, the run's config.yaml ${config.seed}`);
  }
  if (checkpoint.data !== data) {
    throw new CheckpointError(
      `${config.data.source} is not what the run saw (photographs and names: ${checkpoint.data} then, ${data} now); ` +
        'give back the same files, or start another run',
    );
  }
  return checkpoint;
}

/**
 * Trains to the end of the configured epochs, or to the end of the step during which the signal is aborted.
 * @throws ConfigError, DataError, CheckpointError, DeviceError before the first step; NonFiniteLossError during it.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  const { run, device, resume, signal } = options;
  if (!resume && (await holdsRun(run))) {
    throw new ConfigError(`${run} holds a run already; continue it with --resume, or choose another --out`);
  }
  const source = await openImageSource(config.data.source, { labels: config.data.labels });
  const stepConfig = stepConfigOf(config, source.classes?.length);
  const data = sourceFingerprint(source);
  const checkpoint = resume ? await resumedCheckpoint(run, config, data) : undefined;
  const initial = initialState(stepConfig, checkpoint);
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
    const runner = await createFusedRunner(
      stepConfig,
      {
        dropPathRate: config.model.dropPath,
        initial,
        seed: config.seed,
        session: { device, ...(config.threads !== undefined && { threads: config.threads }) },
      },
      config.stepsPerRun,
    );
    let progress: Progress | undefined;
    let saved = checkpoint?.step ?? -1;
    const diverged = async (step: number, what: string): Promise<NonFiniteLossError> => {
      // A checkpoint of the state before this very step leads to the same place.
      if (saved === step - 1) await setCheckpointAside(run, saved);
      const good = (await listCheckpoints(run)).at(-1);
      const last = good === undefined ? 'there is no checkpoint from before' : `the checkpoint of step ${good} is good`;
      return new NonFiniteLossError(
        `step ${step}: ${what}; training stopped, ${last}. Go on with --resume and --set optimizer.baseLr (lower) or warmupEpochs (longer).`,
      );
    };
    const save = async (steps: number): Promise<void> => {
      const tensors = runner.state();
      for (const [name, { data }] of tensors) {
        const bad = (data as Float32Array).find((value) => !Number.isFinite(value));
        if (bad !== undefined) throw await diverged(steps, `after the update ${name} holds ${bad}`);
      }
      await saveCheckpoint(run, { step: steps, seed: config.seed, data, tensors }, config.checkpoints.keep);
      saved = steps;
    };
    try {
      const start = checkpoint?.step ?? 0;
      // Only now, when the source, the graph and the device have proved usable.
      await writeRunFolder(run, config, device, start);
      const log = await openRunLog(run, start);
      progress = options.createProgress(start, totalSteps);
      let at = start;
      const skipped = new Set(log.skipped);
      const { every } = config.checkpoints;
      while (at < totalSteps && !signal?.aborted) {
        const began = performance.now();
        let waited = 0;
        const steps: (TrainingStep & { readonly batch: Batch })[] = [];
        // Several steps of one run end where a checkpoint is due: there is no state in between.
        const count = Math.min(runner.stepsPerRun, totalSteps - at, every - (at % every));
        for (let step = at; step < at + count; step++) {
          const asked = performance.now();
          const batch = await loader.batch(step);
          waited += performance.now() - asked;
          steps.push({ step, learningRate: learningRate(step, schedule), batch });
          for (const { name, reason } of batch.skipped) {
            if (skipped.has(name)) continue;
            skipped.add(name);
            progress.note(`skipped ${name}: ${reason} (${skipped.size} so far)`);
            await log.write({ step: step + 1, skipped: name, reason });
          }
        }
        const terms = await runner.run(steps);
        for (const [i, ofStep] of terms.entries()) {
          const bad = Object.entries(ofStep).find(([, value]) => !Number.isFinite(value));
          if (bad !== undefined) throw await diverged(at + i + 1, `${bad[0]} is ${bad[1]}`);
        }
        const took = performance.now() - began;
        for (const [i, { batch, learningRate: lr }] of steps.entries()) {
          at += 1;
          const record = {
            step: at,
            epoch: batch.epoch,
            lr,
            ...terms[i]!,
            images_per_s: (count * config.batchSize) / (took / 1e3),
            wait_share: waited / took,
          };
          await log.write(record);
          progress.step(record);
        }
        if (at % every === 0 || at === totalSteps) await save(at);
      }
      if (saved !== at) await save(at);
      return { steps: at, totalSteps, checkpoint: checkpointPath(run, at) };
    } finally {
      progress?.stop();
      await runner.close();
    }
  } finally {
    await loader.close();
  }
}
