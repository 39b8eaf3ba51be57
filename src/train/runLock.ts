import { readFileSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** Keeps a second process from training into a run folder: `run.lock` says who is at work in it. */

/** Another process trains into the run folder. */
class RunLockError extends Error {
  override readonly name = 'RunLockError';
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, where the system tells: a number may belong to another process later. */
  readonly began?: string;
}

export interface RunLock {
  release(): Promise<void>;
}

const lockPath = (run: string) => join(run, 'run.lock');

/** Start time of a process in clock ticks since boot (proc(5), field 22 of stat); Linux only. */
function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function self(): Holder {
  const began = processStart(process.pid);
  return { pid: process.pid, host: hostname(), ...(began !== undefined && { began }) };
}

/** Whether the process of this machine still runs. A process of another user answers EPERM: it runs too. */
function alive({ pid, began }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = processStart(pid);
  return began === undefined || now === undefined || began === now;
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const holder = JSON.parse(await readFile(path, 'utf8')) as Partial<Holder>;
    return typeof holder.pid === 'number' && typeof holder.host === 'string' ? (holder as Holder) : undefined;
  } catch {
    return undefined;
  }
}

function busy(run: string, holder: Holder | undefined, here: boolean): string {
  const who = holder === undefined ? 'an unknown process' : `process ${holder.pid} on ${holder.host}`;
  const advice = here
    ? 'wait for it, stop it, or choose another --out'
    : `if it has ended, remove ${lockPath(run)}; otherwise choose another --out`;
  return `${who} is training into ${run}; ${advice}`;
}

/**
 * Takes the lock of an existing run folder. One whose process has ended on this machine is taken over.
 * @throws RunLockError naming the process that has it, and the file to remove where that cannot be checked from here.
 */
export async function lockRun(run: string): Promise<RunLock> {
  const path = lockPath(run);
  const mine = self();
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(path, `${JSON.stringify(mine)}\n`, { flag: 'wx' });
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readHolder(path);
    const here = holder?.host === mine.host;
    if (holder === undefined || !here || alive(holder) || attempt > 0) {
      throw new RunLockError(busy(run, holder, here));
    }
    // Renamed, checked, then removed: another process may have found the same dead holder and taken the lock meanwhile.
    const aside = `${path}.${process.pid}`;
    await rename(path, aside).catch(() => undefined);
    const moved = await readHolder(aside);
    if (moved !== undefined && (moved.pid !== holder.pid || moved.began !== holder.began)) {
      await rename(aside, path);
      throw new RunLockError(busy(run, moved, true));
    }
    await rm(aside, { force: true });
  }
}
