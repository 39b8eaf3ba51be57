import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockHeldError, type ProcessLock, takeLock } from '../files/processLock.js';
import { type CellRecord, readRecord, writeRecord } from './cellRecord.js';
import { type Cell, cellFolder, cellName } from './cells.js';
import { changesOf } from './changes.js';
import { readDefinition } from './definition.js';
import { outputsOf } from './evaluationOutputs.js';
import type { Experiment } from './experiment.js';

/** Cells of other experiments that are the same: their training and results are copied in place of being computed again. */

/** A trained cell in the folder of another experiment. */
export interface TrainedCell {
  readonly folder: string;
  readonly record: CellRecord;
}

export const cellLockPath = (folder: string): string => join(folder, 'cell.lock');

/** Present while a cell is copied or cleared. Where it is left behind, what stands beside it is incomplete. */
const COPYING = '.copying';

/** What belongs to a process or can be computed again. */
const NOT_COPIED = new Set(['cell.json', 'cell.lock', 'run.lock', '.scratch', 'cache']);

/**
 * The trained cells in folders of experiments.
 * @throws ExperimentError for a folder that is none of an experiment, or a record that is damaged.
 */
export async function trainedCells(folders: readonly string[]): Promise<TrainedCell[]> {
  const found: TrainedCell[] = [];
  for (const out of folders) {
    const { variants, seeds } = await readDefinition(out);
    for (const cell of variants.flatMap((variant) => seeds.map((seed) => ({ variant, seed })))) {
      const folder = cellFolder(out, cell);
      const record = await readRecord(folder);
      if (record?.training.status === 'done') found.push({ folder, record });
    }
  }
  return found;
}

/**
 * The trained cell that is the same as another experiment's cell: equal seed and training settings (keys that do not change what is
 * computed may differ). Undefined if there is none.
 */
export function sameCell(
  cell: Cell,
  { evaluations, collapsed }: Experiment,
  trained: readonly TrainedCell[],
): TrainedCell | undefined {
  return trained.find(
    ({ record }) =>
      record.seed === cell.seed &&
      (collapsed === 'evaluate' || record.training.collapsed === undefined) &&
      changesOf(record, cell, evaluations).training.length === 0,
  );
}

/** Removes everything in a cell but its lock. A cell that is cleared in part is known as such (see `clearUnfinishedCopy`). */
export async function clearCell(folder: string): Promise<void> {
  await writeFile(join(folder, COPYING), '');
  for (const name of await readdir(folder)) {
    if (name !== 'cell.lock' && name !== COPYING) await rm(join(folder, name), { recursive: true });
  }
  await rm(join(folder, COPYING));
}

/** Removes what was copied or cleared in part. */
export async function clearUnfinishedCopy(folder: string): Promise<void> {
  const unfinished = await readFile(join(folder, COPYING)).then(
    () => true,
    () => false,
  );
  if (unfinished) await clearCell(folder);
}

/** How long a copy waits for another process. */
export interface CopyWait {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Reports an event of the new cell. */
  readonly say: (event: string) => void;
}

/** Time between two looks at a lock, in milliseconds. */
const LOOK_EVERY = 500;

/** The record of a trained cell; undefined if it has changed since it was found. */
async function stillTrained({ folder, record }: TrainedCell): Promise<CellRecord | undefined> {
  const now = await readRecord(folder);
  return now?.digest === record.digest && now.training.status === 'done' ? now : undefined;
}

/**
 * Takes the lock of a trained cell, and waits as long as a process of this machine has it: that evaluates the cell, or copies it too,
 * which takes less time than to train it again. Two processes that wait hold cells which are not trained; none waits for such a
 * cell, so they never wait for each other.
 * @returns undefined if the cell has changed, a process of another machine has the lock, or the signal is aborted
 */
async function lockTrained(from: TrainedCell, { signal, say }: CopyWait): Promise<ProcessLock | undefined> {
  for (let attempt = 0; ; attempt++) {
    if ((await stillTrained(from)) === undefined) return undefined;
    try {
      return await takeLock(cellLockPath(from.folder));
    } catch (error) {
      if (!(error instanceof LockHeldError)) throw error;
      if (signal.aborted) return undefined;
      if (!error.here) {
        say(`is not copied: ${error.message}; if that process has ended, stop this one, and remove the file`);
        return undefined;
      }
      if (attempt === 0) say(`waits to be copied from ${from.folder}, in which process ${error.holder?.pid} works`);
    }
    await sleep(LOOK_EVERY, undefined, { signal }).catch(() => undefined);
  }
}

/**
 * Copies a trained cell into the folder of a new one, in place of what it holds: the run, and the results of the evaluations that the
 * new experiment has with the same flags under the same names.
 * @param start the record of the new cell
 * @returns the record of the copy; undefined if the other cell has changed, or its lock cannot be had (see `lockTrained`)
 */
export async function copyCell(
  from: TrainedCell,
  cell: Cell,
  folder: string,
  { evaluations }: Experiment,
  start: CellRecord,
  wait: CopyWait,
): Promise<CellRecord | undefined> {
  const lock = await lockTrained(from, wait);
  if (lock === undefined) return undefined;
  try {
    // As it is now: its evaluations may have been made meanwhile.
    const record = await stillTrained(from);
    if (record === undefined) return undefined;
    const changed = changesOf(record, cell, evaluations).evaluations;
    const same = evaluations.filter(({ name }) => record.evaluations[name]?.status === 'done' && !changed.has(name));
    const others = Object.keys(record.evaluations).filter((name) => !same.some((each) => each.name === name));
    const left = new Set([...NOT_COPIED, ...others.map((name) => `${name}.json`)]);
    const outputs = others.flatMap((name) => outputsOf(record.evaluations[name]!.flags, record.seed));
    const leftPaths = new Set(outputs.map((path) => join(from.folder, path)));
    if ((await readRecord(folder)) !== undefined) await clearCell(folder);
    await writeFile(join(folder, COPYING), '');
    for (const name of await readdir(from.folder)) {
      if (left.has(name)) continue;
      const filter = (path: string) => !leftPaths.has(path);
      await cp(join(from.folder, name), join(folder, name), { recursive: true, filter });
    }
    const kept = same.map(({ name }) => [name, record.evaluations[name]!] as const);
    const { training, versions } = record;
    const origin = `${record.experiment}: ${cellName({ variant: { name: record.variant }, seed: record.seed })}`;
    const copy: CellRecord = {
      ...{ ...start, versions, training },
      ...{ evaluations: Object.fromEntries(kept), reused: record.reused ?? origin },
    };
    await writeRecord(folder, copy);
    await rm(join(folder, COPYING));
    return copy;
  } finally {
    await lock.release();
  }
}
