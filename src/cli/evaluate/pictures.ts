import { join } from 'node:path';
import { OutputError, writeOutputFile } from '../../files/output.js';

/** Pictures that an evaluation draws beside its figures. */
export interface Pictures {
  /** Writes one. Where that fails, no further ones are written, and the evaluation goes on: its result is worth more. */
  write(name: string, png: Buffer): Promise<void>;
  /** To be called when the result is out. @throws OutputError if a picture could not be written. */
  finish(): void;
}

/** Bytes of a name at each end of a shortened one: file systems take 255 for a file, which has up to two names and numbers. */
const END_BYTES = 48;

/** A name as a part of a file's name. A long one loses its middle: folders stand at the beginning, and what tells it from others at the end. */
export function fileNamePart(name: string): string {
  const safe = name.replaceAll(/[^\p{L}\p{M}\p{N}_.-]+/gu, '_');
  if (Buffer.byteLength(safe) <= 2 * END_BYTES) return safe;
  const within = (characters: readonly string[]): string[] => {
    let bytes = 0;
    return characters.filter((character) => {
      bytes += Buffer.byteLength(character);
      return bytes <= END_BYTES;
    });
  };
  const characters = [...safe];
  return [...within(characters), '...', ...within(characters.toReversed()).toReversed()].join('');
}

/** Numbers from 1 with leading zeros, so that files are listed in their order. @param index from 0, less than `count` */
export const paddedNumber = (index: number, count: number): string =>
  String(index + 1).padStart(String(count).length, '0');

/** Names of subjects as parts of file names, no two of which are equal. */
export function subjectParts(names: readonly string[]): string[] {
  const parts = names.map(fileNamePart);
  return new Set(parts).size === parts.length
    ? parts
    : parts.map((part, i) => `${paddedNumber(i, parts.length)}-${part}`);
}

/** @param dir folder that exists */
export function picturesIn(dir: string): Pictures {
  let failed: OutputError | undefined;
  return {
    async write(name, png) {
      if (failed !== undefined) return;
      try {
        await writeOutputFile('--pictures', join(dir, name), png);
      } catch (error) {
        if (!(error instanceof OutputError)) throw error;
        failed = error;
      }
    },
    finish() {
      if (failed !== undefined) throw failed;
    },
  };
}
