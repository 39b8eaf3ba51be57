import { ImageError } from './imageError.js';

/** The time that all steps of one picture have together, and the caller's patience. */
export interface WorkClock {
  /** What is left for libvips, in whole seconds as sharp counts them, at least 1; 0: as long as it takes. */
  secondsLeft(): number;
  /** @throws ImageError `too_large` when the time is over, or the signal's reason when it is aborted. */
  check(): void;
  /** The error of a step that ran out of its time. */
  late(cause?: unknown): ImageError;
}

/**
 * Starts the clock of a picture.
 * @param decodeSeconds longest time of all steps together; absent: no limit
 * @param signal aborted when nobody waits for the result any more
 */
export function startClock(decodeSeconds?: number, signal?: AbortSignal): WorkClock {
  const start = performance.now();
  const left = (): number => (decodeSeconds ?? 0) - (performance.now() - start) / 1000;
  const late = (cause?: unknown): ImageError =>
    new ImageError('too_large', `image takes longer than ${decodeSeconds} s to decode and resize; send a smaller one`, {
      cause,
    });
  return {
    secondsLeft: () => (decodeSeconds === undefined ? 0 : Math.max(1, Math.ceil(left()))),
    check() {
      signal?.throwIfAborted();
      if (decodeSeconds !== undefined && left() < 0) throw late();
    },
    late,
  };
}

/** Whether an error is libvips' time that ran out; sharp has no class for it. */
export const isTimeout = (error: unknown): boolean => error instanceof Error && error.message.startsWith('timeout:');
