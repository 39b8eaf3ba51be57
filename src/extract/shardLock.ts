import { open, rm, utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { writeOutput } from '../files/output.js';
import { LockHeldError, type ProcessLock, takeLock } from '../files/processLock.js';
import { ExtractError } from './extractError.js';

/** Time between two signs of life of a lock's holder. */
const ALIVE_MS = 15_000;

/** Without a sign of life for this long, the holder on another machine is taken for dead. */
const SILENT_MS = 60_000;

export interface ShardLock {
  release(): Promise<void>;
}

interface LockOptions {
  readonly aliveMs?: number;
  readonly silentMs?: number;
  /** Ends the wait. */
  readonly signal?: AbortSignal;
}

/** Modification time, read through an open file: a network file system answers that from the server. Undefined: no file. */
async function changedAt(path: string): Promise<number | undefined> {
  try {
    const file = await open(path);
    try {
      return (await file.stat()).mtimeMs;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/**
 * Takes the lock of a shard, which keeps two processes from writing it at the same time. The lock of a process that has ended on
 * this machine is taken over. Whether one on another machine still runs cannot be asked there: its lock is taken over if it shows
 * no sign of life for a minute, as after the loss of a node.
 * @param note receives a line if this waits
 * @throws ExtractError `in_use` naming the process, `stopped` if the signal ends the wait; OutputError
 */
export async function lockShard(
  path: string,
  note: (text: string) => void,
  { aliveMs = ALIVE_MS, silentMs = SILENT_MS, signal }: LockOptions = {},
): Promise<ShardLock> {
  const take = async () => {
    let lock: ProcessLock;
    await writeOutput('--out', path, async () => {
      lock = await takeLock(path);
    });
    const timer = setInterval(() => {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
    }, aliveMs);
    timer.unref();
    return {
      async release() {
        clearInterval(timer);
        await lock.release();
      },
    };
  };
  const busy = (error: LockHeldError): ExtractError => {
    const who = error.holder === undefined ? 'another process' : `process ${error.holder.pid} on ${error.holder.host}`;
    const advice = 'wait for it, stop it, or choose another --out or --shard';
    return new ExtractError('in_use', `${who} writes the same shard (${path}); ${advice}`, { cause: error });
  };
  try {
    return await take();
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    if (error.here) throw busy(error);
    const seen = await changedAt(path);
    const where =
      error.holder === undefined ? 'an unknown process' : `process ${error.holder.pid} on ${error.holder.host}`;
    note(`${path} is held by ${where}; waiting up to ${Math.round(silentMs / 1000)} s to see whether it still runs`);
    const until = performance.now() + silentMs;
    while (performance.now() < until) {
      try {
        await delay(Math.min(1000, silentMs / 10), undefined, { signal });
      } catch (cause) {
        throw new ExtractError('stopped', `stopped by a signal while ${where} held ${path}`, { cause });
      }
      const now = await changedAt(path);
      if (now === undefined) break;
      if (now !== seen) throw busy(error);
    }
    await rm(path, { force: true });
    try {
      return await take();
    } catch (second) {
      // Another process has waited for the same lock.
      throw second instanceof LockHeldError ? busy(second) : second;
    }
  }
}
