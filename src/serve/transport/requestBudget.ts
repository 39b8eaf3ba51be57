import { ServeError } from '../serveError.js';

/** Bounds the bytes of the messages that are held at the same time. */
export interface RequestBudget {
  /** Bytes held now. */
  readonly held: number;
  /**
   * Counts a message; one that is larger than the limit fits when nothing else is held.
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
};

/**
 * @param limit in bytes; at least the largest message, which would else never fit
 * @param of what the messages are, for errors
 */
export function createRequestBudget(limit: number, of: keyof typeof holding = 'requests'): RequestBudget {
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
