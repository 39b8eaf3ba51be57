import { decodeInput } from '../image/decodeInput.js';
import { decodeMask } from '../image/mask.js';
import type { Decoder } from './decoder.js';

/**
 * Decodes in this process, on libvips' threads. Use it for trusted images only, since a native crash of libvips ends the process.
 */
export function createLocalDecoder(): Decoder {
  return {
    watch: () => () => {},
    async input(picture, wanted, signal) {
      signal.throwIfAborted();
      return decodeInput(picture, wanted, signal);
    },
    async mask(png, size, signal) {
      signal.throwIfAborted();
      return decodeMask(png, size);
    },
    close: async () => {},
    terminate() {},
  };
}
