import { ImageError } from './imageError.js';
import { isTimeout } from './workClock.js';

/** What libvips says in its own name before, or behind, what a decoder has said. */
const OWN_PREFIX = /^Input buffer has corrupt header: /;
const OWN_LINES = /^(source: bad seek|error in tile)/;

/** The first line that says what is wrong with the picture. */
function reasonOf(message: string): string {
  const lines = message.split('\n').map((line) => line.replace(OWN_PREFIX, '').trim());
  return lines.find((line) => line !== '' && !OWN_LINES.test(line)) ?? lines[0] ?? '';
}

/**
 * What a failed decoding means to the sender of the picture.
 * @param seconds longest decoding that was allowed
 * @param what is decoded, for the message
 */
export function decodeFailure(format: string, cause: unknown, seconds: number | undefined, what = 'image'): ImageError {
  if (isTimeout(cause)) {
    const message = `${what} takes longer than ${seconds} s to decode as ${format}; send a smaller one, or another format`;
    return new ImageError('too_large', message, { cause });
  }
  const reason = reasonOf(cause instanceof Error ? cause.message : String(cause));
  const message = `${what} cannot be decoded as ${format}: ${reason}; check that it was sent whole`;
  return new ImageError('corrupt', message, { cause });
}
