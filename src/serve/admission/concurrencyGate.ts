import type { LimitFunction } from 'p-limit';
import type { Call } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import { createRoom, type Room } from './weightedSemaphore.js';

/** A limit on what may wait for a turn. */
export interface WaitingLimit {
  /** Its key in the configuration. */
  readonly name: string;
  readonly value: number;
  /** What waits, and for what, as errors say it. */
  readonly waiting: string;
}

/** Calls that wait and have not given up; p-limit would count the others too, until their turn has come. */
const rooms = new WeakMap<LimitFunction, Room>();

function roomOf(turns: LimitFunction, { value }: WaitingLimit): Room {
  const room = rooms.get(turns) ?? createRoom(value);
  rooms.set(turns, room);
  return room;
}

/**
 * Works when it is this call's turn. A call that gives up while it waits leaves at once, with all that it holds. A patient one
 * waits where others are refused, and half of those who wait for their turn are patient at most.
 * @param turns lets so many work at a time; always the same limit belongs to it
 * @throws ServeError `overloaded` when as many wait as may, or the call's own reason when it is aborted while it waits.
 */
export async function inBoundedTurn<T>(
  turns: LimitFunction,
  limit: WaitingLimit,
  { signal, patient = false }: Pick<Call, 'signal' | 'patient'>,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const room = roomOf(turns, limit);
  if (!patient && !room.fits(1)) {
    const { name, value, waiting } = limit;
    throw new ServeError('overloaded', `${room.held} ${waiting}, the most that may; try again later`, {
      limit: { name, value },
    });
  }
  const place = patient ? await room.wait(1, signal) : room.take(1);
  let job: typeof work | undefined = work;
  return new Promise<T>((resolve, reject) => {
    const leave = (): void => {
      job = undefined;
      place.release();
      signal.removeEventListener('abort', giveUp);
    };
    const giveUp = (): void => {
      leave();
      reject(signal.reason);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    void turns(async () => {
      const mine = job;
      if (mine === undefined) return;
      leave();
      await (async () => mine())().then(resolve, reject);
    });
  });
}
