import { readFileSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';

/** Lock files: each names the process that works in a folder, so that a second process does not. */

/** The process that holds a lock. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** Start time, where the system provides it: the number may belong to another process later. */
  readonly began?: string;
  /** The Slurm job of the process, if it has one. */
  readonly slurm?: SlurmJob;
}

/** A start of a Slurm job. */
interface SlurmJob {
  /** Cluster and number of the job: clusters count their jobs alone, and may share a file system. */
  readonly job: string;
  /** How often the job had been put back into the queue. */
  readonly restarts: number;
}

/** The variables that Slurm sets for the processes of a job. */
export type JobEnvironment = Readonly<Record<string, string | undefined>>;

/** Another process holds the lock. */
export class LockHeldError extends Error {
  override readonly name = 'LockHeldError';

  readonly path: string;
  /** undefined if the file cannot be read. */
  readonly holder: LockHolder | undefined;
  /** Whether the holder is on this machine, where it is known to be alive. */
  readonly here: boolean;

  constructor(path: string, holder: LockHolder | undefined, here: boolean) {
    super(
      `${path} is held by ${holder === undefined ? 'an unknown process' : `process ${holder.pid} on ${holder.host}`}`,
    );
    this.path = path;
    this.holder = holder;
    this.here = here;
  }
}

export interface ProcessLock {
  release(): Promise<void>;
}

/** Start time of a process in clock ticks since boot (proc(5), field 22 of stat); Linux only. */
function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function slurmJob({ SLURM_JOB_ID, SLURM_CLUSTER_NAME = '', SLURM_RESTART_COUNT = '0' }: JobEnvironment) {
  if (SLURM_JOB_ID === undefined) return undefined;
  return { job: `${SLURM_CLUSTER_NAME}/${SLURM_JOB_ID}`, restarts: Number(SLURM_RESTART_COUNT) };
}

function self(environment: JobEnvironment): LockHolder {
  const began = processStart(process.pid);
  const slurm = slurmJob(environment);
  return { pid: process.pid, host: hostname(), ...(began !== undefined && { began }), ...(slurm && { slurm }) };
}

/**
 * Whether a process of another machine is known to have ended: it belongs to an earlier start of this Slurm job. Slurm ends a start before
 * the next, on whatever nodes.
 */
const isEarlierStart = (holder: LockHolder, mine: LockHolder): boolean =>
  holder.slurm !== undefined && holder.slurm.job === mine.slurm?.job && holder.slurm.restarts < mine.slurm.restarts;

/** Whether the process of this machine still runs. A process of another user answers EPERM: it runs too. */
function alive({ pid, began }: LockHolder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = processStart(pid);
  return began === undefined || now === undefined || began === now;
}

async function readHolder(path: string): Promise<LockHolder | undefined> {
  try {
    const holder = JSON.parse(await readFile(path, 'utf8')) as Partial<LockHolder>;
    return typeof holder.pid === 'number' && typeof holder.host === 'string' ? (holder as LockHolder) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process holds a lock: one of this machine that runs, or one of another machine. */
export async function isLocked(path: string): Promise<boolean> {
  const holder = await readHolder(path);
  return holder !== undefined && (holder.host !== hostname() || alive(holder));
}

/**
 * Takes a lock, whose folder must exist. A lock whose process has ended is taken over: one of this machine, or of an earlier start of the
 * same Slurm job.
 * @throws LockHeldError naming the process that holds it.
 */
export async function takeLock(path: string, environment: JobEnvironment = process.env): Promise<ProcessLock> {
  const mine = self(environment);
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(path, `${JSON.stringify(mine)}\n`, { flag: 'wx' });
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        // On a full disk the file is created, but empty: no process could tell whose it is.
        await rm(path, { force: true });
        throw error;
      }
    }
    const holder = await readHolder(path);
    const here = holder?.host === mine.host;
    const ended = holder !== undefined && (here ? !alive(holder) : isEarlierStart(holder, mine));
    if (!ended || attempt > 0) throw new LockHeldError(path, holder, here);
    // Renamed, checked, then removed: another process may have found the same dead holder and taken the lock meanwhile.
    const aside = `${path}.${process.pid}`;
    await rename(path, aside).catch(() => undefined);
    const moved = await readHolder(aside);
    if (moved !== undefined && !isDeepStrictEqual(moved, holder)) {
      await rename(aside, path);
      throw new LockHeldError(path, moved, moved.host === mine.host);
    }
    await rm(aside, { force: true });
  }
}
