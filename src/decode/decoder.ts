import type { EngineStatus } from '../engine/engine.js';
import type { SentPicture, WantedInput } from '../image/decodeInput.js';
import type { PreparedImage, Size } from '../image/types.js';

/** A mask as 8-bit values, row-major; not 0 inside the mask. */
export interface DecodedMask extends Size {
  readonly data: Uint8Array | Uint16Array;
}

/**
 * Converts images to network inputs, and masks to bitmaps, within a time limit. Implementations: in separate processes, and in
 * this process.
 */
export interface Decoder {
  /** State of its processes; absent if it has none. */
  readonly status?: EngineStatus;
  /** Calls back on every change of `status.state`. @returns unsubscribes */
  watch(listener: () => void): () => void;
  /**
   * `decodeInput` of an image.
   * @throws ImageError as `decodeInput`, and `too_large` over the time limit; DecoderError if a process dies or none is
   *   available; the signal's reason when it is aborted.
   */
  input(picture: SentPicture, wanted: WantedInput, signal: AbortSignal): Promise<PreparedImage>;
  /**
   * `decodeMask` of a PNG file.
   * @param size required size of the mask
   * @throws as `input`
   */
  mask(png: Uint8Array, size: Size, signal: AbortSignal): Promise<DecodedMask>;
  /** Finishes work in progress, then ends its processes. */
  close(): Promise<void>;
  /** Kills its processes; work in progress is lost. Call `close` afterwards. */
  terminate(): void;
}

/**
 * - `crashed`: the process ended by a native crash while it decoded an image, most likely because of the image
 * - `unavailable`: the process ended for another reason (out of memory, killed), or none could be started
 */
export type DecoderErrorCode = 'crashed' | 'unavailable';

/** A failure of decoding that does not prove that the image is at fault. */
export class DecoderError extends Error {
  override readonly name = 'DecoderError';
  readonly code: DecoderErrorCode;

  constructor(code: DecoderErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
