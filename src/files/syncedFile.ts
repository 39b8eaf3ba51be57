import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';

/** Content of a file: its bytes, or the pieces of one that is too large to be held in memory. */
export type FileContent = Uint8Array | AsyncIterable<Uint8Array>;

/** One write call takes at most 2^31 - 1 bytes. */
const WRITE_BYTES = 2 ** 30;

/**
 * Writes all bytes at the file's position, or at a given one. A single call of the system may write fewer, and does not fail then: on
 * a full disk, beyond a quota or a size limit, or where it is interrupted. The call for the rest has the error.
 */
export async function writeAll(file: Pick<FileHandle, 'write'>, bytes: Uint8Array, position?: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const length = Math.min(WRITE_BYTES, bytes.byteLength - done);
    const at = position === undefined ? null : position + done;
    done += (await file.write(bytes, done, length, at)).bytesWritten;
  }
}

/**
 * Writes a new file, and waits until it is on the disk.
 * @param mode its permissions, less those that the process masks; by default all may read and write it
 * @returns its checksum and size.
 */
export async function writeSynced(
  path: string,
  content: FileContent | Iterable<Uint8Array>,
  mode?: number,
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(path, 'wx', mode);
  try {
    for await (const piece of content instanceof Uint8Array ? [content] : content) {
      hash.update(piece);
      await writeAll(file, piece);
      bytes += piece.byteLength;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { sha256: hash.digest('hex'), bytes };
}

/**
 * Waits until a file that somebody else has written is on the disk; of a folder, the names in it: those of new files, and of what was
 * renamed.
 */
export async function syncPath(path: string): Promise<void> {
  const opened = await open(path, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}
