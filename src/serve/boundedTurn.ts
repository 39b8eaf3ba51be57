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

/**
 * Works when it is this call's turn.
 * @param turns lets so many work at a time
 * @throws ServeError `overloaded` when as many wait as may, or the call's own reason when it is aborted while it waits.
 */
export async function inBoundedTurn<T>(
  turns: LimitFunction,
  { name, value, waiting }: WaitingLimit,
  call: Call,
  work: () => Promise<T>,
): Promise<T> {
  if (turns.pendingCount >= value) {
    throw new ServeError('overloaded', `${turns.pendingCount} ${waiting}, the most that may; try again later`, {
      limit: { name, value },
    });
  }
  return turns(() => {
    call.signal.throwIfAborted();
    return work();
  });
}
