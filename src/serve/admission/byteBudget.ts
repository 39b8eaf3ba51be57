import { ServeError } from '../call/serveError.js';
import { createWeightedSemaphore, type Permit } from './weightedSemaphore.js';

/** Bounds the bytes of messages, or of what is made of them, that are held at the same time. */
export interface ByteBudget {
  /** Bytes held now. */
  readonly held: number;
  /**
   * Counts bytes, for a call that does not wait. More bytes than the limit fit when nothing else is held.
   * @throws ServeError `overloaded` when they do not fit beside those that are held
   */
  tryAcquire(bytes: number): Permit;
  /**
   * Counts bytes, for a call that waits until they fit (see WeightedSemaphore: such calls hold half of the limit at most).
   * @throws the signal's reason when it is aborted
   */
  acquire(bytes: number, signal: AbortSignal): Promise<Permit>;
}

/** What each limit bounds, as errors say it. */
const subjects = {
  requestBytes: (held: number) => `requests being answered hold ${held} bytes`,
  responseBytes: (held: number) => `answers that their callers have not taken hold ${held} bytes`,
  mapBytes: (held: number) => `maps for pooling, PCA and matching hold ${held} bytes`,
};

/**
 * @param name of the limit, as in the configuration
 * @param limit in bytes; not less than the largest message, so that it can fit beside others
 */
export function createByteBudget(name: keyof typeof subjects, limit: number): ByteBudget {
  const semaphore = createWeightedSemaphore(limit);
  return {
    get held() {
      return semaphore.held;
    },
    tryAcquire(bytes) {
      const permit = semaphore.tryAcquire(bytes);
      if (permit) return permit;
      throw new ServeError(
        'overloaded',
        `${subjects[name](semaphore.held)}, and ${bytes} more would exceed the limit of ${limit} (${name}); try again later`,
        { limit: { name, value: limit } },
      );
    },
    acquire: (bytes, signal) => semaphore.acquire(bytes, signal),
  };
}
