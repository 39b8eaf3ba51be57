import { join } from 'node:path';
import { writeOutput } from '../files/output.js';
import { type JobEnvironment, LockHeldError, type ProcessLock, takeLock } from '../files/processLock.js';

/** Keeps a second process from training into a run folder: `run.lock` names the process that does. */

/** Another process trains into the run folder. */
class RunLockError extends Error {
  override readonly name = 'RunLockError';
}

export type RunLock = ProcessLock;

/** The lock file of a run. */
export const runLockPath = (run: string): string => join(run, 'run.lock');

function busy(run: string, { path, holder, here }: LockHeldError): string {
  const who = holder === undefined ? 'an unknown process' : `process ${holder.pid} on ${holder.host}`;
  const advice = here
    ? 'wait for it, stop it, or choose another --out'
    : `if it has ended, remove ${path}; otherwise choose another --out`;
  return `${who} is training into ${run}; ${advice}`;
}

/**
 * Takes the lock of an existing run folder. One whose process has ended is taken over: one of this machine, or of an earlier start of the
 * same Slurm job.
 * @throws RunLockError naming the process that has it, and the file to remove if that cannot be checked from here; OutputError.
 */
export async function lockRun(run: string, environment: JobEnvironment = process.env): Promise<RunLock> {
  try {
    const path = runLockPath(run);
    return await writeOutput('the run folder', path, () => takeLock(path, environment));
  } catch (error) {
    if (error instanceof LockHeldError) throw new RunLockError(busy(run, error), { cause: error });
    throw error;
  }
}
