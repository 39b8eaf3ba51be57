import { ServeError } from '../call/serveError.js';
import { createWeightedSemaphore, type Permit } from './weightedSemaphore.js';

/** Bounds the bytes of messages, or of data made from them, that are held at the same time. */
export interface ByteBudget {
  /** Bytes held now. */
  readonly held: number;
  /**
   * Acquires bytes, for a call that does not wait. More bytes than the limit are granted when nothing else is held.
   * @throws ServeError `overloaded` if they would exceed the limit together with those that are held, or that a stream item waits for
   */
  tryAcquire(bytes: number): Permit;
  /**
   * Waits until the bytes are available (see WeightedSemaphore: such calls hold at most half of the limit).
   * @throws the signal's reason when it is aborted
   */
  acquire(bytes: number, signal: AbortSignal): Promise<Permit>;
}

/** What each limit bounds, for errors. */
const subjects = {
  requestBytes: (held: number) => `requests in progress hold ${held} bytes`,
  responseBytes: (held: number) => `responses that callers have not received hold ${held} bytes`,
  mapBytes: (held: number) => `maps for pooling, PCA, upsampling, tiles and matching hold ${held} bytes`,
};

/**
 * @param name of the limit, as in the configuration
 * @param limit in bytes; at least the largest message
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
      const { held } = semaphore;
      const others = held + bytes > limit ? '' : ' together with those that an item of a stream waits for';
      throw new ServeError(
        'overloaded',
        `${subjects[name](held)}, and ${bytes} more would exceed the limit of ${limit} (${name})${others}; try again later`,
        { limit: { name, value: limit } },
      );
    },
    acquire: (bytes, signal) => semaphore.acquire(bytes, signal),
  };
}
