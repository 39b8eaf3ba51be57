const MiB = 1024 * 1024;

/** Watches that a caller takes what is written to it. */
export interface TakeClock {
  /** A message of so many bytes was written. @returns to be called when HTTP/2 has taken it */
  written(bytes: number): () => void;
  /** Watches no longer. */
  stop(): void;
}

/**
 * Each message has its time from when the one before was taken: many that wait behind each other for a slow line are no
 * stall.
 * @param secondsPerMiB time for each MiB of a message, and for one that is smaller
 * @param onStalled told once the bytes of the message and the seconds in which it was not taken
 */
export function createTakeClock(secondsPerMiB: number, onStalled: (bytes: number, seconds: number) => void): TakeClock {
  const waiting: number[] = [];
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function watchNext(): void {
    clearTimeout(timer);
    const bytes = waiting[0];
    if (stopped || bytes === undefined) return;
    const seconds = secondsPerMiB * Math.max(1, bytes / MiB);
    timer = setTimeout(() => {
      stop();
      onStalled(bytes, seconds);
    }, seconds * 1000);
  }

  function stop(): void {
    stopped = true;
    clearTimeout(timer);
  }

  return {
    written(bytes) {
      waiting.push(bytes);
      if (waiting.length === 1) watchNext();
      return () => {
        // Taken in the order in which they were written.
        waiting.shift();
        watchNext();
      };
    },
    stop,
  };
}
