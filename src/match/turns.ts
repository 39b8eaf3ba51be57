import { setImmediate as nextTurn } from 'node:timers/promises';

/** Ways to drive a long computation that pauses now and then (yields). */

/** Runs it to its end on the spot. */
export function atOnce<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Runs it with a turn of the event loop in every pause, so that timers and sockets are served meanwhile.
 * @throws the signal's reason at the first pause after it is aborted.
 */
export async function inTurns<T>(steps: Generator<void, T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const step = steps.next();
    if (step.done === true) return step.value;
    await nextTurn();
  }
}
