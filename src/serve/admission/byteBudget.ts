import { ServeError } from '../call/serveError.js';
import { createRoom } from './weightedSemaphore.js';

/** Bounds the bytes of messages, or of what is made for them, that are held at the same time. */
export interface ByteBudget {
  /** Bytes held now. */
  readonly held: number;
  /**
   * Counts a message, or what is made for one; what is larger than the limit fits when nothing else is held.
   * @returns gives its bytes back; to be called once
   * @throws ServeError `overloaded` when it does not fit beside those that are held.
   */
  take(bytes: number): () => void;
  /**
   * Waits until it fits, for a patient call; these hold half of the limit at most.
   * @throws the signal's reason when it is aborted
   */
  wait(bytes: number, signal: AbortSignal): Promise<() => void>;
}

const holding = {
  requests: { name: 'requestBytes', text: (held: number) => `requests of ${held} bytes are being answered` },
  answers: {
    name: 'responseBytes',
    text: (held: number) => `answers of ${held} bytes wait to be taken by their callers`,
  },
  maps: { name: 'mapBytes', text: (held: number) => `maps of ${held} bytes are held for poolings, PCAs and matches` },
};

/**
 * @param limit in bytes; at least the largest message, which would else never fit
 * @param of what is held, for errors
 */
export function createByteBudget(limit: number, of: keyof typeof holding = 'requests'): ByteBudget {
  const room = createRoom(limit);
  return {
    get held() {
      return room.held;
    },
    take(bytes) {
      if (!room.fits(bytes)) {
        throw new ServeError(
          'overloaded',
          `${holding[of].text(room.held)}, and this one of ${bytes} bytes would bring them over the limit of ${limit}; try ` +
            'again later',
          { limit: { name: holding[of].name, value: limit } },
        );
      }
      return room.take(bytes).release;
    },
    wait: async (bytes, signal) => (await room.wait(bytes, signal)).release,
  };
}
