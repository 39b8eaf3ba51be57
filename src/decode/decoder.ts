import type { EngineStatus } from '../engine/engine.js';
import type { SentPicture, WantedInput } from '../image/decodeInput.js';
import type { PreparedImage, Size } from '../image/types.js';

/** A mask as 8-bit numbers, row-major: not 0 inside it. */
export interface DecodedMask extends Size {
  readonly data: Uint8Array | Uint16Array;
}

/**
 * Makes network inputs of pictures, and bitmaps of masks, all within a time limit. Implementations: in processes of their own,
 * and in this process.
 */
export interface Decoder {
  /** Of its processes; absent where it has none. */
  readonly status?: EngineStatus;
  /** Tells of every change of `status.state`. @returns ends the telling */
  watch(listener: () => void): () => void;
  /**
   * `decodeInput` of a picture.
   * @throws ImageError as `decodeInput`, and `too_large` over the time limit; DecoderError where a process is lost or none
   *   stands; the signal's reason when it is aborted.
   */
  input(picture: SentPicture, wanted: WantedInput, signal: AbortSignal): Promise<PreparedImage>;
  /**
   * `decodeMask` of a PNG file.
   * @param size what the mask must have
   * @throws as `input`
   */
  mask(png: Uint8Array, size: Size, signal: AbortSignal): Promise<DecodedMask>;
  /** Finishes what it works at, then ends its processes. */
  close(): Promise<void>;
  /** Kills its processes: what they work at is lost. `close` is to follow. */
  terminate(): void;
}

/**
 * - `crashed`: the process that decoded a picture ended by a native crash, most likely by the picture's doing
 * - `unavailable`: it was ended by something else (out of memory, killed), or none could be started
 */
export type DecoderErrorCode = 'crashed' | 'unavailable';

/** What befell the decoding of a picture that says nothing certain of the picture. */
export class DecoderError extends Error {
  override readonly name = 'DecoderError';
  readonly code: DecoderErrorCode;

  constructor(code: DecoderErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
