import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';

/** Bytes of a path's name that its temporary name repeats: with the rest, no file system finds it too long. */
const REPEATED_BYTES = 100;

/** The characters of a text that begin within a number of bytes of UTF-8, whole. */
function within(text: string, limit: number): string {
  let bytes = 0;
  let kept = '';
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > limit) break;
    kept += character;
  }
  return kept;
}

/** A unique, hidden name for what will be renamed to an output. */
export const temporaryName = (path: string): string => `.${within(basename(path), REPEATED_BYTES)}.${randomUUID()}.tmp`;
