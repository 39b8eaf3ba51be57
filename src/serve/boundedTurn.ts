import type { LimitFunction } from 'p-limit';
import type { Call } from './call.js';
import { ServeError } from './serveError.js';

/** A limit on what may wait for a turn. */
export interface WaitingLimit {
  /** Its key in the configuration. */
  readonly name: string;
  readonly value: number;
  /** What waits, and for what, as errors say it. */
  readonly waiting: string;
}

/** Calls that wait, are not patient, and have not given up; p-limit would count the others too, until their turn has come. */
const waitingFor = new WeakMap<LimitFunction, number>();

/**
 * Works when it is this call's turn. A call that gives up while it waits leaves at once, with all that it holds. A patient
 * one, as those of a stream, always waits: how many there are is bounded where they come from.
 * @param turns lets so many work at a time
 * @throws ServeError `overloaded` when as many wait as may, or the call's own reason when it is aborted while it waits.
 */
export async function inBoundedTurn<T>(
  turns: LimitFunction,
  { name, value, waiting }: WaitingLimit,
  { signal, patient = false }: Pick<Call, 'signal' | 'patient'>,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const before = waitingFor.get(turns) ?? 0;
  if (before >= value && !patient) {
    throw new ServeError('overloaded', `${before} ${waiting}, the most that may; try again later`, {
      limit: { name, value },
    });
  }
  const counts = Number(!patient);
  waitingFor.set(turns, before + counts);
  let job: typeof work | undefined = work;
  return new Promise<T>((resolve, reject) => {
    const leave = (): void => {
      job = undefined;
      waitingFor.set(turns, waitingFor.get(turns)! - counts);
      signal.removeEventListener('abort', giveUp);
    };
    const giveUp = (): void => {
      leave();
      reject(signal.reason);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    void turns(async () => {
      const mine = job;
      if (mine === undefined) return;
      leave();
      await (async () => mine())().then(resolve, reject);
    });
  });
}
