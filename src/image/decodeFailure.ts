import { ImageError } from './imageError.js';
import { isTimeout } from './workClock.js';

/**
 * What a failed decoding means to the sender of the picture.
 * @param seconds longest decoding that was allowed
 */
export function decodeFailure(format: string, cause: unknown, seconds: number | undefined): ImageError {
  const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
  if (isTimeout(cause)) {
    const message = `image takes longer than ${seconds} s to decode as ${format}; send a smaller one, or another format`;
    return new ImageError('too_large', message, { cause });
  }
  const message = `image cannot be decoded as ${format}: ${reason}; check that it was sent whole`;
  return new ImageError('corrupt', message, { cause });
}
