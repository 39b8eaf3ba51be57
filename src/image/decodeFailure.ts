import { ImageError } from './imageError.js';
import { isTimeout } from './workClock.js';

/** Messages of libvips itself before or after that of a decoder. */
const OWN_PREFIX = /^Input buffer has corrupt header: /;
const OWN_LINES = /^(source: bad seek|error in tile)/;

/** The first line that describes the problem of the image. */
function reasonOf(message: string): string {
  const lines = message.split('\n').map((line) => line.replace(OWN_PREFIX, '').trim());
  return lines.find((line) => line !== '' && !OWN_LINES.test(line)) ?? lines[0] ?? '';
}

/**
 * Converts a failure of the decoder to an error for the sender of the image.
 * @param seconds time limit of the decoding
 * @param what name of the input in the message
 */
export function decodeFailure(format: string, cause: unknown, seconds: number | undefined, what = 'image'): ImageError {
  if (isTimeout(cause)) {
    const message =
      `${what} takes longer than ${seconds} s to decode as ${format} (decodeSeconds); send a smaller one, or another ` +
      'format';
    return new ImageError('too_large', message, { cause });
  }
  const reason = reasonOf(cause instanceof Error ? cause.message : String(cause));
  const message = `${what} cannot be decoded as ${format}: ${reason}; check that it was transferred completely`;
  return new ImageError('corrupt', message, { cause });
}
