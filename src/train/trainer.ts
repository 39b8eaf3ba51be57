import { type Batch, createLoader, type Loader } from '../data/loader.js';
import type { SkippedImage } from '../data/sample.js';
import { sourceFingerprint } from '../data/sourceFingerprint.js';
import { openImageSource, sourceText } from '../data/sources.js';
import { type Collectives, singleProcess } from '../distributed/collectives.js';
import { deviceOfRank, type VisibleDevices } from '../distributed/rankDevice.js';
import { type TimedCollectives, timed } from '../distributed/timed.js';
import { makeFolder } from '../files/output.js';
import { checkParameters } from '../nn/parameters.js';
import { learningRate, type ScheduleConfig } from '../optim/schedule.js';
import { stateSpecs } from '../optim/state.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  type Checkpoint,
  type CheckpointChoice,
  CheckpointError,
  checkpointPath,
  listCheckpoints,
  loadCheckpoint,
  setLaterCheckpointsAside,
} from './checkpoint.js';
import { type CheckpointSaver, createCheckpointSaver, NonFiniteLossError } from './checkpointSaver.js';
import { type Closable, thenClose } from './closeAll.js';
import { ConfigError, type TrainConfig } from './config.js';
import { createStepRunner } from './createStepRunner.js';
import { type InitialWeights, type InitialWeightsOptions, readInitialWeights } from './initialWeights.js';
import { overflowNote } from './lossScale.js';
import { networkSpecs } from './networkSpecs.js';
import { checkDevice, configWarnings, loaderOptionsOf, scheduleOf, stepConfigOf } from './plan.js';
import { openProbeData } from './probe/probeData.js';
import { createProbes, type Probes } from './probe/probes.js';
import type { Progress } from './progress.js';
import { checkAgreement, checkRanks, confer } from './ranks.js';
import { checkResumedConfig, configOf, resumeNotes } from './resume.js';
import { holdsRun, initialSourceOf, keepRunConfig, writeRunFolder } from './runFolder.js';
import { lockRun, type RunLock } from './runLock.js';
import { keepRunLog } from './runLog.js';
import { openRunRecorder, type RunRecorder } from './runRecorder.js';
import type { StepConfig } from './stepConfig.js';
import type { StepRunner, TrainingStep } from './stepRunner.js';

/** Pretraining: from photographs to checkpoints and a log. */

export interface TrainOptions {
  /** Run folder (docs/training.md lists its files). */
  readonly run: string;
  readonly device: 'cpu' | 'cuda';
  /** Continue the run in the folder; its own configuration is used. */
  readonly resume: boolean;
  /** The checkpoint from which a resumed run continues; the newest by default. Later ones are set aside. */
  readonly checkpoint?: CheckpointChoice;
  /** Weights that a run starts from, in place of random ones; not for a resumed run. */
  readonly init?: InitialWeightsOptions;
  /** Threads of the training step, if the configuration does not name a number. Default: all processors. */
  readonly threads?: number;
  /** Whether curves.svg and curves.png are drawn at every checkpoint. Default true. */
  readonly curves?: boolean;
  /** Stops after the step that runs, saves, and returns; with several ranks, if any of them is aborted. */
  readonly signal?: AbortSignal;
  /**
   * The processes that share each batch. Rank 0 alone reads checkpoints and weights, writes the run folder, and measures the
   * probes. If a rank throws, the others may wait for it: the caller has to end them. Default: this process alone.
   */
  readonly collectives?: Collectives;
  /** The CUDA devices of this process, of which each rank takes its own. Default: CUDA's first. Given on all ranks or on none. */
  readonly visible?: VisibleDevices;
  readonly createProgress: (start: number, total: number) => Progress;
}

export interface TrainResult {
  readonly steps: number;
  readonly totalSteps: number;
  /** Path of the newest checkpoint. */
  readonly checkpoint: string;
}

/** The checkpoint's state; for a new run the given weights. The runner initialises the rest. */
function initialState(
  config: StepConfig,
  checkpoint: Checkpoint | undefined,
  given: InitialWeights | undefined,
): ReadonlyMap<string, Tensor> {
  if (checkpoint === undefined) return given?.tensors ?? new Map();
  // Without the loss's scale: a run that goes on in another precision starts with one of its own.
  const problems = checkParameters(stateSpecs(networkSpecs(config), config), checkpoint.tensors);
  if (problems.length > 0) {
    throw new CheckpointError(`the checkpoint does not fit the configuration:\n  ${problems.join('\n  ')}`);
  }
  return checkpoint.tensors;
}

/** The checkpoint from which a resumed run continues; none if it ended before its first one. */
async function resumedCheckpoint(
  { run, checkpoint: choice }: TrainOptions,
  config: TrainConfig,
  data: string,
): Promise<Checkpoint | undefined> {
  if (choice === undefined && (await listCheckpoints(run)).length === 0) {
    const init = await initialSourceOf(run);
    if (init === undefined) return undefined;
    throw new CheckpointError(
      `the run started from the weights of ${init.file} and has no checkpoint to go on from; ` +
        'start it again with --init, in another folder',
    );
  }
  const checkpoint = await loadCheckpoint(run, choice);
  if (checkpoint.seed !== config.seed) {
    throw new CheckpointError(`the checkpoint has seed ${checkpoint.seed}, the run's config.yaml ${config.seed}`);
  }
  checkResumedConfig(checkpoint, config);
  if (checkpoint.data !== data) {
    throw new CheckpointError(
      `${sourceText(config.data.source)} is not what the run saw (photographs and names: ${checkpoint.data} then, ${data} now); ` +
        'restore the same files, or start another run',
    );
  }
  return checkpoint;
}

/** Before a run goes back to an earlier step: sets aside the log, the configuration and the checkpoints after it. */
async function goBackTo(run: string, step: number): Promise<void> {
  const latest = (await listCheckpoints(run)).at(-1);
  if (latest === undefined || latest <= step) return;
  await keepRunLog(run, latest);
  await keepRunConfig(run, latest);
  await setLaterCheckpointsAside(run, step);
}

/**
 * Trains to the end of the configured epochs, or to the end of the step during which the signal is aborted.
 * @throws ConfigError, DataError, CheckpointError, RunLockError, RankDeviceError, DeviceError before the first step; NonFiniteLossError,
 *   RunRecordError and CheckpointError (such as a full disk) during the run.
 */
export async function train(config: TrainConfig, options: TrainOptions): Promise<TrainResult> {
  const { run, resume, collectives = singleProcess } = options;
  checkRanks(config, collectives.size);
  if (collectives.rank > 0) return trainIn(config, options);
  if (resume) {
    if (options.init !== undefined) {
      throw new ConfigError('a resumed run goes on from its own checkpoint; leave out --init');
    }
    const lock = await lockRun(run);
    try {
      return await trainIn(config, options);
    } finally {
      await lock.release();
    }
  }
  await refuseRun(run);
  let lock: RunLock | undefined;
  try {
    return await trainIn(config, options, async () => {
      await makeFolder(run);
      lock = await lockRun(run);
      await refuseRun(run);
    });
  } finally {
    await lock?.release();
  }
}

async function refuseRun(run: string): Promise<void> {
  if (await holdsRun(run)) {
    throw new ConfigError(`${run} holds a run already; continue it with --resume, or choose another --out`);
  }
}

/** @param claim called when the source, the graph and the device have proved usable, before the folder is written. */
async function trainIn(
  config: TrainConfig,
  options: TrainOptions,
  claim: () => Promise<void> = async () => undefined,
): Promise<TrainResult> {
  const { run, device, resume, init, signal, curves = true } = options;
  const collectives = timed(options.collectives ?? singleProcess);
  const leads = collectives.rank === 0;
  checkDevice(config, device);
  /** Open resources, the last opened first. */
  const opened: Closable[] = [];
  const keep = <T extends Closable>(one: T): T => {
    opened.unshift(one);
    return one;
  };
  return thenClose(opened, async () => {
    const source = keep(
      await openImageSource(config.data.source, { labels: config.data.labels, given: 'data.source' }),
    );
    const stepConfig = stepConfigOf(config, source.labelled?.classes.length);
    const photographs = sourceFingerprint(source);
    await checkAgreement(collectives, config, { device, photographs });
    const given = leads && init ? await readInitialWeights(init, stepConfig) : undefined;
    const probeData = leads && config.probe ? keep(await openProbeData(config, config.probe, source)) : undefined;
    const data = [photographs, ...(probeData?.fingerprints ?? [])].join('; probe: ');
    const checkpoint = leads && resume ? await resumedCheckpoint(options, config, data) : undefined;
    const loader = keep(createLoader(loaderOptionsOf(config, source, collectives)));
    const { stepsPerEpoch } = loader;
    const notes = checkpoint ? resumeNotes(checkpoint, config, stepsPerEpoch, collectives.size) : [];
    const initial = initialState(stepConfig, checkpoint, given);
    const schedule = scheduleOf(config, stepsPerEpoch);
    const { totalSteps } = schedule;
    const threads = config.threads ?? options.threads;
    const deviceId = options.visible && (await deviceOfRank(collectives, options.visible));
    const session = { device, deviceId, ...(threads !== undefined && { threads }) };
    const runner = keep(
      await createStepRunner(
        stepConfig,
        { dropPathRate: config.model.dropPath, initial, seed: config.seed, session, collectives },
        config.stepsPerRun,
      ),
    );
    const probes = keep(
      await createProbes(config, {
        ...{ data: probeData, stepsPerEpoch, totalSteps, session },
        ...(checkpoint && { resumed: checkpoint.tensors }),
      }),
    );

    const from = BigInt64Array.of(BigInt(checkpoint?.step ?? 0));
    await collectives.broadcast(from);
    const start = Number(from[0]);
    if (start > totalSteps) {
      throw new ConfigError(
        `epochs: ${config.epochs} ends at step ${totalSteps}, and the run has taken ${start} steps; set more epochs, ` +
          'or go back to an earlier checkpoint with --checkpoint',
      );
    }
    // The folder is claimed only after the source, its photographs, the graph and the device have proved usable.
    const first = start < totalSteps ? await loader.batch(start) : undefined;
    // On all ranks: one whose photographs are broken ends the others here.
    await collectives.barrier();
    const common = { config, schedule, loader: beginningWith(first, loader), runner, probes, collectives };
    if (!leads) {
      const steps = await trainSteps(start, { ...common, ...silent }, signal);
      return { steps, totalSteps, checkpoint: checkpointPath(run, steps) };
    }
    await claim();
    if (resume) await goBackTo(run, start);
    const before = checkpoint && configOf(checkpoint);
    const { size: ranks } = collectives;
    await writeRunFolder(run, config, { device, threads, ranks, step: start, before, init: given?.source });
    const recorder = keep(await openRunRecorder(run, config, start));
    const progress = options.createProgress(start, totalSteps);
    keep({ close: async () => progress.stop() });
    for (const note of [...notes, ...(given?.notes ?? [])]) progress.note(note);
    for (const warning of configWarnings(config, schedule, device, collectives.size)) {
      progress.note(`warning: ${warning}`);
    }
    const saver = createCheckpointSaver({
      ...{ run, config, data, ranks, totalSteps, resumed: checkpoint?.step ?? -1, curves, recorder, progress },
      state: () => new Map([...runner.state(), ...probes.state()]),
    });
    // A run that is stopped before its first checkpoint resumes from here: the given weights are not read again.
    if (given) await saver.save(0);
    const steps = await trainSteps(start, { ...common, recorder, progress, saver }, signal);
    if (saver.saved !== steps) await saver.save(steps);
    return { steps, totalSteps, checkpoint: checkpointPath(run, steps) };
  });
}

/** A loader whose first batch has been loaded already. */
function beginningWith(first: Batch | undefined, { stepsPerEpoch, batch, close }: Loader): Loader {
  let made = first;
  return {
    stepsPerEpoch,
    close,
    async batch(step) {
      if (made?.step !== step) return batch(step);
      const taken = made;
      made = undefined;
      return taken;
    },
  };
}

/** Everything that the steps of a run use. */
interface Workbench {
  readonly config: TrainConfig;
  readonly schedule: ScheduleConfig;
  readonly loader: Loader;
  readonly runner: StepRunner;
  readonly probes: Probes;
  readonly recorder: RunRecorder;
  readonly progress: Progress;
  readonly saver: CheckpointSaver;
  readonly collectives: TimedCollectives;
}

/** What a rank other than 0 writes: nothing. */
const silent: Pick<Workbench, 'recorder' | 'progress' | 'saver'> = {
  recorder: {
    skipped: new Set(),
    step: async () => [],
    skip: async () => undefined,
    probe: async () => undefined,
    score: () => undefined,
    names: () => [],
    draw: async () => undefined,
    close: async () => undefined,
  },
  progress: { step: () => undefined, note: () => undefined, stop: () => undefined },
  saver: {
    saved: -1,
    save: async () => undefined,
    diverged: async (step, what) => new NonFiniteLossError(`step ${step}: ${what}; rank 0 says more`),
  },
};

/** Takes steps from `start` to the schedule's end or the signal, and saves when it is due. Returns the steps taken. */
async function trainSteps(
  start: number,
  { config, schedule, loader, runner, probes, recorder, progress, saver, collectives }: Workbench,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { totalSteps } = schedule;
  const { every } = config.checkpoints;
  let at = start;
  /** Skipped images that have been reported. */
  const reported = new Set(recorder.skipped);
  while (at < totalSteps && !(collectives.size === 1 && signal?.aborted)) {
    const began = performance.now();
    const exchangedBefore = collectives.spentMs();
    let waited = 0;
    const steps: (TrainingStep & { readonly batch: Batch })[] = [];
    // A run of several steps ends where a checkpoint or a probe is due, which need the state.
    const count = Math.min(runner.stepsPerRun, totalSteps - at, every - (at % every), probes.stepsToNext(at));
    for (let step = at; step < at + count; step++) {
      const asked = performance.now();
      const batch = await loader.batch(step);
      waited += performance.now() - asked;
      steps.push({ step, learningRate: learningRate(step, schedule), batch });
      const fresh = batch.skipped.filter(({ name }) => !reported.has(name));
      const { stop, said } = await confer(
        collectives,
        signal?.aborted ?? false,
        fresh.length > 0 ? JSON.stringify(fresh) : '',
      );
      for (const { name, reason } of said.flatMap((text) => JSON.parse(text) as SkippedImage[])) {
        if (reported.has(name)) continue;
        reported.add(name);
        await recorder.skip({ step: step + 1, skipped: name, reason });
        progress.note(`skipped ${name}: ${reason} (${reported.size} so far)`);
      }
      if (stop && collectives.size > 1) return at;
    }
    const terms = await runner.run(steps);
    for (const [i, ofStep] of terms.entries()) {
      const bad = Object.entries(ofStep).find(([, value]) => !Number.isFinite(value));
      if (bad !== undefined) throw await saver.diverged(at + i + 1, `${bad[0]} is ${bad[1]}`);
    }
    const took = performance.now() - began;
    const exchanged = collectives.spentMs() - exchangedBefore;
    for (const [i, { batch, learningRate: lr }] of steps.entries()) {
      at += 1;
      const record = {
        step: at,
        epoch: batch.epoch,
        lr,
        ...terms[i]!,
        images_per_s: (count * config.batchSize) / (took / 1e3),
        wait_share: waited / took,
        ...(collectives.size > 1 && { exchange_share: exchanged / took }),
      };
      const warnings = await recorder.step(record);
      progress.step(record);
      const overflow = overflowNote(at, record);
      if (overflow !== undefined) progress.note(overflow);
      for (const warning of warnings) progress.note(`\n*** ${warning}\n`);
    }
    await probes.afterStep(at, runner.state(), { recorder, progress });
    if (at % every === 0 || at === totalSteps) await saver.save(at);
  }
  return at;
}
