/**
 * Long computations are generators that pause (yield) every few milliseconds. The caller decides how pauses are used: `runSync`
 * ignores them, `runInSlices` yields to the event loop and can be aborted.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Elements in one slice of `forEachSlice`: 2 to 3 ms of a plain loop. Usual maps (14 x 14 x 512) are one slice. */
const SLICE_ELEMENTS = 2 ** 18;

/**
 * Processes vectors in order, with a pause between slices of about `SLICE_ELEMENTS` elements. A slice consists of whole vectors.
 * @param channels elements per vector
 * @param work is called with the bounds of each slice, vectors [first, end)
 */
export function* forEachSlice(
  vectors: number,
  channels: number,
  work: (first: number, end: number) => void,
): Generator<void, void> {
  const count = Math.max(1, Math.floor(SLICE_ELEMENTS / channels));
  for (let first = 0; first < vectors; first += count) {
    if (first > 0) yield;
    work(first, Math.min(vectors, first + count));
  }
}

/** Runs a computation to the end, ignoring pauses. */
export function runSync<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Runs a computation and yields to the event loop at every pause, so that timers and sockets are served.
 * @throws the signal's reason, at the first pause after it is aborted.
 */
export async function runInSlices<T>(steps: Generator<void, T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const step = steps.next();
    if (step.done === true) return step.value;
    await nextTurn();
  }
}
