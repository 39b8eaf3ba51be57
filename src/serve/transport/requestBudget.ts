import { ServeError } from '../serveError.js';

/** Bounds the bytes of the request messages that are held at the same time. */
export interface RequestBudget {
  /** Bytes held now. */
  readonly held: number;
  /**
   * Counts a message.
   * @returns gives its bytes back; to be called once
   * @throws ServeError `overloaded` when it does not fit beside those that are held.
   */
  take(bytes: number): () => void;
}

/** @param limit in bytes; at least the largest message, which would else never fit */
export function createRequestBudget(limit: number): RequestBudget {
  let held = 0;
  return {
    get held() {
      return held;
    },
    take(bytes) {
      if (held + bytes > limit) {
        throw new ServeError(
          'overloaded',
          `requests of ${held} bytes are being answered, and this one of ${bytes} bytes would bring them over the limit of ` +
            `${limit}; try again later`,
        );
      }
      held += bytes;
      return () => {
        held -= bytes;
      };
    },
  };
}
