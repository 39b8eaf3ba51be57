import { ImageError } from './imageError.js';

/**
 * What a failed decoding means to the sender of the picture.
 * @param seconds longest decoding that was allowed
 * @param what is decoded, for the message
 */
export function decodeFailure(format: string, cause: unknown, seconds: number, what = 'image'): ImageError {
  const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
  // sharp has no error class for it.
  if (reason.startsWith('timeout:')) {
    const message = `${what} takes longer than ${seconds} s to decode as ${format}; send a smaller one, or another format`;
    return new ImageError('too_large', message, { cause });
  }
  const message = `${what} cannot be decoded as ${format}: ${reason}; check that it was sent whole`;
  return new ImageError('corrupt', message, { cause });
}
