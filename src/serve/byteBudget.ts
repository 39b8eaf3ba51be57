import { ServeError } from './serveError.js';

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
}

const holding = {
  requests: { name: 'requestBytes', text: (held: number) => `requests of ${held} bytes are being answered` },
  answers: {
    name: 'responseBytes',
    text: (held: number) => `answers of ${held} bytes wait to be taken by their callers`,
  },
  maps: { name: 'reduceBytes', text: (held: number) => `maps of ${held} bytes are on their way to a pooling or a PCA` },
};

/**
 * @param limit in bytes; at least the largest message, which would else never fit
 * @param of what is held, for errors
 */
export function createByteBudget(limit: number, of: keyof typeof holding = 'requests'): ByteBudget {
  let held = 0;
  return {
    get held() {
      return held;
    },
    take(cost) {
      const bytes = Math.min(cost, limit);
      if (held + bytes > limit) {
        throw new ServeError(
          'overloaded',
          `${holding[of].text(held)}, and this one of ${bytes} bytes would bring them over the limit of ${limit}; try again later`,
          { limit: { name: holding[of].name, value: limit } },
        );
      }
      held += bytes;
      return () => {
        held -= bytes;
      };
    },
  };
}
