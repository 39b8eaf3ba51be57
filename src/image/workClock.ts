import { ImageError } from './imageError.js';

/** The time limit of all steps of one image, and the caller's cancellation. */
export interface WorkClock {
  /** Remaining time for libvips, in whole seconds as in sharp, at least 1; 0 means unlimited. */
  secondsLeft(): number;
  /** @throws ImageError `too_large` when the time has expired, or the signal's reason when it is aborted. */
  check(): void;
  /** The error of a step that exceeded its time. */
  late(cause?: unknown): ImageError;
}

/**
 * Starts the clock of an image.
 * @param decodeSeconds maximum time of all steps; absent: unlimited
 * @param signal aborted when the result is no longer needed
 */
export function startClock(decodeSeconds?: number, signal?: AbortSignal): WorkClock {
  const start = performance.now();
  const left = (): number => (decodeSeconds ?? 0) - (performance.now() - start) / 1000;
  const late = (cause?: unknown): ImageError =>
    new ImageError(
      'too_large',
      `image takes longer than ${decodeSeconds} s to decode and resize (decodeSeconds); send a smaller one`,
      { cause },
    );
  return {
    secondsLeft: () => (decodeSeconds === undefined ? 0 : Math.max(1, Math.ceil(left()))),
    check() {
      signal?.throwIfAborted();
      if (decodeSeconds !== undefined && left() < 0) throw late();
    },
    late,
  };
}

/** Whether an error is a timeout of libvips; sharp has no class for it. */
export const isTimeout = (error: unknown): boolean => error instanceof Error && error.message.startsWith('timeout:');
