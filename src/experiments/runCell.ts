import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { readResult } from '../evaluate/result/readResult.js';
import { makeFolder, writeOutput, writeOutputFile } from '../files/output.js';
import { LockHeldError, takeLock } from '../files/processLock.js';
import { packageVersion } from '../models/packageVersion.js';
import { env } from '../onnx/runtime.js';
import type { TrainConfig } from '../train/config.js';
import { holdsRun, readRunConfig } from '../train/runFolder.js';
import { runLockPath } from '../train/runLock.js';
import { slimRun, slimStep } from '../train/slimRun.js';
import { type CellRecord, newRecord, readRecord, writeRecord } from './cellRecord.js';
import { type Cell, cellFolder, cellName } from './cells.js';
import { changesOf } from './changes.js';
import { collapseOf } from './collapse.js';
import { failureOf, type RunningCommand, type StartCommand } from './command.js';
import { removeOutputs } from './evaluationOutputs.js';
import { digestOf, type Evaluation, type Experiment } from './experiment.js';
import { ExperimentError } from './experimentError.js';
import { cellLockPath, clearCell, clearUnfinishedCopy, copyCell, sameCell, type TrainedCell } from './reuseCell.js';

/** Trains and evaluates one cell, from where an earlier attempt stopped. */

/** How an attempt at a cell ended. `busy`: another process runs it. */
export type CellOutcome = 'done' | 'failed' | 'stopped' | 'busy';

export interface CellContext {
  readonly experiment: Experiment;
  readonly out: string;
  readonly device: 'cpu' | 'cuda';
  readonly retryFailed: boolean;
  readonly restartChanged: boolean;
  /** Cells of other experiments: those that are the same are copied. */
  readonly reuse: readonly TrainedCell[];
  readonly startCommand: StartCommand;
  readonly signal: AbortSignal;
  /** Reports an event of the cell. */
  readonly say: (event: string) => void;
}

const logPath = (folder: string) => join(folder, 'output.log');

/** The result file of an evaluation. */
export const resultPath = (folder: string, evaluation: string): string => join(folder, `${evaluation}.json`);

/** Runs a command to its end, or stops it when the signal is aborted. */
async function runCommand(args: readonly string[], folder: string, { startCommand, signal }: CellContext) {
  const scratch = join(folder, '.scratch');
  // What an attempt that was killed has left.
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch);
  const began = performance.now();
  let command: RunningCommand | undefined;
  const stop = () => command?.stop();
  try {
    command = startCommand(args, { log: logPath(folder), scratch });
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const end = await command.ended;
    return { end, seconds: Math.round((performance.now() - began) / 100) / 10 };
  } finally {
    signal.removeEventListener('abort', stop);
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Waits for a training process whose `experiments run` was killed: it stops by itself after its step.
 * @returns the error of a lock that does not go away.
 */
async function waitForOrphan(folder: string, { signal, say }: CellContext): Promise<LockHeldError | undefined> {
  for (let attempt = 0; ; attempt++) {
    try {
      await (await takeLock(runLockPath(folder))).release();
      return undefined;
    } catch (error) {
      if (!(error instanceof LockHeldError)) throw error;
      if (!error.here || attempt > 600 || signal.aborted) return error;
      if (attempt === 5) say(`waiting for process ${error.holder?.pid}, which still trains in ${folder}`);
      await sleep(200);
    }
  }
}

/** Where a run's photographs are now, if they were moved: a resumed run reads its own configuration. */
async function updateSources(folder: string, now: TrainConfig): Promise<void> {
  const then = await readRunConfig(folder);
  const moved: TrainConfig = {
    ...then,
    data: { ...then.data, source: now.data.source },
    ...(then.probe && { probe: { ...then.probe, ...(now.probe && { data: now.probe.data, test: now.probe.test }) } }),
  };
  if (JSON.stringify(moved) !== JSON.stringify(then)) {
    await writeOutputFile('--out', join(folder, 'config.yaml'), stringify(moved));
  }
}

async function trainCell(cell: Cell, folder: string, record: CellRecord, context: CellContext): Promise<CellRecord> {
  const { experiment, device, signal, say } = context;
  const config = cell.variant.configOf(cell.seed);
  // The training itself reports a lock that does not go away.
  await waitForOrphan(folder, context);
  const finished = async (steps: number, seconds: number): Promise<CellRecord['training']> => {
    const collapsed = await collapseOf(folder, config);
    if (collapsed !== undefined && experiment.collapsed === 'fail') {
      return { status: 'failed', seconds, reason: collapsed, collapsed };
    }
    await slimRun(folder);
    return { status: 'done', seconds, steps, ...(collapsed !== undefined && { collapsed }) };
  };
  // A process that ended between the reduction of the checkpoint and the record of it has left a finished training, which has no
  // state of the optimizer to be resumed with. Training reports a damaged checkpoint.
  const steps = await slimStep(folder).catch(() => undefined);
  if (steps !== undefined) return { ...record, training: await finished(steps, record.training.seconds) };
  const resumed = await holdsRun(folder);
  if (resumed) await updateSources(folder, config);
  const given = join(folder, 'train.yaml');
  if (!resumed) await writeOutputFile('--out', given, stringify(config));
  const from = resumed ? ['--resume'] : ['--config', given];
  say(resumed ? 'training resumed' : 'training started');
  const { end, seconds } = await runCommand(['train', ...from, '--out', folder, '--device', device], folder, context);
  const total = Math.round((record.training.seconds + seconds) * 10) / 10;
  const failed = (reason: string): CellRecord['training'] => ({ status: 'failed', seconds: total, reason });
  const training = async (): Promise<CellRecord['training']> => {
    const [, step, steps] = /^step (\d+) of (\d+): /m.exec(end.stdout) ?? [];
    if (end.code === 0 && step === steps && step !== undefined) {
      return finished(Number(step), total);
    }
    if (signal.aborted) return { status: 'unfinished', seconds: total };
    return failed(end.code === 0 ? `stopped by a signal at step ${step} of ${steps}` : failureOf(end));
  };
  return { ...record, training: await training() };
}

/** Whether an evaluation has a result that can be read. */
async function isEvaluated(folder: string, name: string, record: CellRecord): Promise<boolean> {
  if (record.evaluations[name]?.status !== 'done') return false;
  return readResult(resultPath(folder, name)).then(
    () => true,
    () => false,
  );
}

async function evaluateCell(
  evaluation: Evaluation,
  folder: string,
  record: CellRecord,
  context: CellContext,
): Promise<CellRecord> {
  const { name, kind, flags } = evaluation;
  const path = resultPath(folder, name);
  context.say(`evaluation ${name} started`);
  await removeOutputs(folder, flags, record.seed);
  const own = evaluation.argumentsIn({ cell: folder, out: context.out, seed: record.seed });
  const args = ['evaluate', kind, '--run', folder, ...own, '--out', path];
  const { end, seconds: used } = await runCommand(args, folder, context);
  if (context.signal.aborted && end.code !== 0) return record;
  const before = record.evaluations[name]?.seconds ?? 0;
  const seconds = Math.round((before + used) * 10) / 10;
  const about = { kind, flags: flags as CellRecord['evaluations'][string]['flags'], seconds };
  const reason =
    end.code === 0
      ? await readResult(path).then(
          () => undefined,
          (error: Error) => error.message,
        )
      : failureOf(end);
  const entry =
    reason === undefined ? { status: 'done' as const, ...about } : { status: 'failed' as const, ...about, reason };
  return { ...record, evaluations: { ...record.evaluations, [name]: entry } };
}

/**
 * What a changed file does to a cell: it starts again, as a whole or in some evaluations.
 * @returns the record of what is left; undefined for a cell that starts again.
 * @throws LockHeldError if a process still trains in the cell.
 */
async function restartChanged(folder: string, record: CellRecord, cell: Cell, context: CellContext) {
  const { training, evaluations } = changesOf(record, cell, context.experiment.evaluations);
  if (training.length > 0) {
    const held = await waitForOrphan(folder, context);
    if (held !== undefined) throw held;
    context.say(`starts again, since ${training.join(', ')}`);
    await clearCell(folder);
    return undefined;
  }
  for (const [name, change] of evaluations) {
    context.say(`evaluation ${name} is made again, since ${change}`);
    await rm(resultPath(folder, name), { force: true });
    await removeOutputs(folder, record.evaluations[name]!.flags, record.seed);
  }
  const kept = Object.entries(record.evaluations).filter(([name]) => !evaluations.has(name));
  return { ...record, evaluations: Object.fromEntries(kept) };
}

/** Whether a cell's training starts or goes on. */
const isToTrain = ({ training: { status } }: CellRecord, { retryFailed }: CellContext): boolean =>
  status === 'unfinished' || (status === 'failed' && retryFailed);

/** Whether a cell has nothing left to do. */
async function nothingLeft(
  folder: string,
  record: CellRecord,
  { experiment, retryFailed }: CellContext,
): Promise<boolean> {
  if (record.training.status === 'failed') return !retryFailed;
  if (record.training.status !== 'done') return false;
  for (const { name } of experiment.evaluations) {
    const failed = record.evaluations[name]?.status === 'failed';
    if (failed ? retryFailed : !(await isEvaluated(folder, name, record))) return false;
  }
  return true;
}

function statusOf({ training, evaluations }: CellRecord, experiment: Experiment): CellRecord['status'] {
  const states = [training.status, ...experiment.evaluations.map(({ name }) => evaluations[name]?.status)];
  if (states.includes('failed')) return 'failed';
  return states.every((state) => state === 'done') ? 'done' : 'unfinished';
}

/** Why a cell failed, in a line. */
export function failuresOf(record: CellRecord): string[] {
  const first = (reason = 'unknown') => reason.split('\n')[0]!;
  return [
    ...(record.training.status === 'failed' ? [`training: ${first(record.training.reason)}`] : []),
    ...Object.entries(record.evaluations).flatMap(([name, { status, reason }]) =>
      status === 'failed' ? [`evaluation ${name}: ${first(reason)}`] : [],
    ),
  ];
}

/** Time that a cell has used, in seconds. */
export const secondsOf = ({ training, evaluations }: CellRecord): number =>
  Object.values(evaluations).reduce((sum, { seconds }) => sum + seconds, training.seconds);

/**
 * Copies a cell of another experiment in place of one that is not trained.
 * @param start the record of the new cell
 * @returns the record of the copy; undefined if there is nothing to copy, or a process still trains in the cell.
 */
async function reusedRecord(
  start: CellRecord,
  cell: Cell,
  folder: string,
  context: CellContext,
): Promise<CellRecord | undefined> {
  const { experiment, reuse, say } = context;
  const same = sameCell(cell, experiment, reuse);
  if (same === undefined || (await waitForOrphan(folder, context)) !== undefined) return undefined;
  const copy = await copyCell(same, cell, folder, experiment, start, context);
  if (copy === undefined) return undefined;
  const names = Object.keys(copy.evaluations);
  say(`copied from ${same.folder}: training${names.length > 0 ? `, ${names.join(', ')}` : ''}`);
  return copy;
}

async function runLocked(cell: Cell, folder: string, context: CellContext): Promise<CellOutcome> {
  const { experiment, signal, say, retryFailed } = context;
  await clearUnfinishedCopy(folder);
  let record = await readRecord(folder);
  if (record === undefined && (await holdsRun(folder))) {
    throw new ExperimentError(`${folder} holds a run that is no cell of an experiment; choose another --out`);
  }
  if (record !== undefined && context.restartChanged) record = await restartChanged(folder, record, cell, context);
  const settings = cell.variant.settings as CellRecord['settings'];
  const start = newRecord({
    ...{ experiment: experiment.name, variant: cell.variant.name, seed: cell.seed },
    ...{ settings, digest: digestOf(settings) },
    versions: { vicregl: packageVersion(), onnxruntime: env.versions.node!, node: process.versions.node },
  });
  if (record === undefined || isToTrain(record, context)) {
    record = (await reusedRecord(start, cell, folder, context)) ?? record ?? start;
    // It may have been stopped while it waited for another process.
    if (signal.aborted) return 'stopped';
  }
  const keep = async (next: CellRecord) => {
    record = { ...next, status: statusOf(next, experiment) };
    await writeRecord(folder, record);
    return record;
  };
  if (await nothingLeft(folder, record, context)) {
    await keep(record); // Evaluations may have been added or removed.
    return record.status === 'failed' ? 'failed' : 'done';
  }
  await keep(record);
  if (isToTrain(record, context)) {
    await keep(await trainCell(cell, folder, record, context));
    const { status, seconds, reason, steps } = record.training;
    if (status === 'unfinished') return 'stopped';
    if (status === 'failed') {
      say(`training failed: ${reason!.split('\n')[0]}`);
      return 'failed';
    }
    say(`training done: ${steps} steps in ${Math.round(seconds)} s`);
  }
  for (const evaluation of experiment.evaluations) {
    const { name } = evaluation;
    if (signal.aborted) return 'stopped';
    if (record.evaluations[name]?.status === 'failed' ? !retryFailed : await isEvaluated(folder, name, record))
      continue;
    const next = await evaluateCell(evaluation, folder, record, context);
    if (next === record) return 'stopped';
    await keep(next);
    const { status, seconds, reason } = record.evaluations[name]!;
    say(
      `evaluation ${name} ${status === 'done' ? `done in ${Math.round(seconds)} s` : `failed: ${reason!.split('\n')[0]}`}`,
    );
  }
  return record.status === 'failed' ? 'failed' : 'done';
}

/**
 * Trains and evaluates a cell, as far as that has not been done.
 * @throws ExperimentError for a folder that holds something else; file system errors.
 */
export async function runCell(cell: Cell, context: CellContext): Promise<CellOutcome> {
  const folder = cellFolder(context.out, cell);
  await makeFolder(folder);
  let lock: Awaited<ReturnType<typeof takeLock>>;
  try {
    const path = cellLockPath(folder);
    lock = await writeOutput('--out', path, () => takeLock(path));
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    if (!error.here) {
      context.say(`skipped ${cellName(cell)}: ${error.message}; if that process has ended, remove the file`);
    }
    return 'busy';
  }
  try {
    return await runLocked(cell, folder, context);
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    if (context.signal.aborted) return 'stopped';
    context.say(
      `skipped ${cellName(cell)}: ${error.message}, which trains in it; stop it, or remove the file if it has ended`,
    );
    return 'busy';
  } finally {
    await lock.release();
  }
}
