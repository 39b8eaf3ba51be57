import { open } from 'node:fs/promises';
import { fileProblem } from '../files/fileProblem.js';
import { CheckpointFileError } from './checkpointFileError.js';

/** Bytes that are read by position: a file, or a buffer in tests. */
export interface ByteSource {
  /** Names the source in errors. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** Exactly `length` bytes at a position. @throws CheckpointFileError where the source ends before. */
  read(position: number, length: number): Promise<Uint8Array>;
}

/** One read call takes at most 2^31 - 1 bytes. */
const READ_BYTES = 2 ** 30;

/** What is wrong with a range of a source of `size` bytes; undefined where it lies inside. */
function rangeProblem(position: number, length: number, size: number): string | undefined {
  if (Number.isSafeInteger(position) && Number.isSafeInteger(length) && position >= 0 && length >= 0) {
    if (position + length <= size) return undefined;
  }
  return `${length} bytes at ${position} lie past its end at ${size}; is it truncated?`;
}

/** Refuses a range before anything is allocated for it. @throws CheckpointFileError where it leaves the source. */
export function checkRange({ name, size }: ByteSource, position: number, length: number, what = 'the file'): void {
  const problem = rangeProblem(position, length, size);
  if (problem !== undefined) throw new CheckpointFileError(`${name}: ${what}: ${problem}`);
}

/** A file that is open for reading. */
export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** @throws CheckpointFileError where there is no file of that name. */
export async function openFileSource(path: string): Promise<FileSource> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new CheckpointFileError(`${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  const facts = await file.stat();
  if (!facts.isFile()) {
    await file.close();
    throw new CheckpointFileError(`${path} is not a file; give the checkpoint itself`);
  }
  const source: FileSource = {
    name: path,
    size: facts.size,
    async read(position, length) {
      checkRange(source, position, length);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(bytes, done, Math.min(READ_BYTES, length - done), position + done);
        if (bytesRead === 0) throw new CheckpointFileError(`${path} became shorter while it was read`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => file.close(),
  };
  return source;
}
