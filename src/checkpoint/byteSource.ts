import { open } from 'node:fs/promises';
import { fileProblem } from '../files/fileProblem.js';
import { CheckpointFileError } from './checkpointFileError.js';

/** Bytes with random access: a file, or a buffer in tests. */
export interface ByteSource {
  /** Name of the source in errors. */
  readonly name: string;
  /** Total size in bytes. */
  readonly size: number;
  /** Reads exactly `length` bytes at a position. @throws CheckpointFileError if the source ends before. */
  read(position: number, length: number): Promise<Uint8Array>;
}

/** Bytes of one read call, which may have at most 2^31 - 1. */
const READ_BYTES = 2 ** 30;

/** Describes why a range is not inside a source of `size` bytes; undefined if it is. */
function rangeProblem(position: number, length: number, size: number): string | undefined {
  if (Number.isSafeInteger(position) && Number.isSafeInteger(length) && position >= 0 && length >= 0) {
    if (position + length <= size) return undefined;
  }
  return `${length} bytes at ${position} exceed its size of ${size}; is it truncated?`;
}

/** Checks a range before memory is allocated for it. @throws CheckpointFileError if it is not inside the source. */
export function checkRange({ name, size }: ByteSource, position: number, length: number, what = 'the file'): void {
  const problem = rangeProblem(position, length, size);
  if (problem !== undefined) throw new CheckpointFileError(`${name}: ${what}: ${problem}`);
}

/** A file opened for reading. */
export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** Opens a file. @throws CheckpointFileError if it does not exist, cannot be read or is not a file. */
export async function openFileSource(path: string): Promise<FileSource> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new CheckpointFileError(`${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  const status = await file.stat();
  if (!status.isFile()) {
    await file.close();
    throw new CheckpointFileError(`${path} is not a file; give the path of a checkpoint file`);
  }
  const source: FileSource = {
    name: path,
    size: status.size,
    async read(position, length) {
      checkRange(source, position, length);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(bytes, done, Math.min(READ_BYTES, length - done), position + done);
        if (bytesRead === 0) throw new CheckpointFileError(`${path} was truncated while it was read`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => file.close(),
  };
  return source;
}
