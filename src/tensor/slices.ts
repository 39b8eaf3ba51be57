/**
 * Long computations as generators that pause (yield) every few milliseconds. Whoever drives them decides what a pause is for:
 * `runSync` ignores pauses, `runInSlices` lets the event loop turn in each and can stop there.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Numbers in one slice of `forEachSlice`: 2 or 3 ms of a plain loop. The usual maps (14 x 14 x 512) are one slice. */
const SLICE_ELEMENTS = 2 ** 18;

/**
 * Works through vectors from the first to the last, with a pause between slices of about `SLICE_ELEMENTS` numbers. A slice
 * consists of whole vectors.
 * @param channels numbers of one vector
 * @param work called with the bounds of each slice, vectors [first, end)
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

/** Runs a computation to its end without pauses. */
export function runSync<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Runs a computation with a turn of the event loop in every pause, so that timers and sockets are served meanwhile.
 * @throws the signal's reason at the first pause after it is aborted.
 */
export async function runInSlices<T>(steps: Generator<void, T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const step = steps.next();
    if (step.done === true) return step.value;
    await nextTurn();
  }
}
