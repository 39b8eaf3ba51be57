import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** Content of a file: its bytes, or the pieces of one that is too large to be held in memory. */
export type FileContent = Uint8Array | AsyncIterable<Uint8Array>;

/** One write call takes at most 2^31 - 1 bytes. */
const WRITE_BYTES = 2 ** 30;

/** Writes a new file, and waits until it is on the disk. @returns its checksum and size. */
export async function writeSynced(
  path: string,
  content: FileContent,
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(path, 'wx');
  try {
    for await (const piece of content instanceof Uint8Array ? [content] : content) {
      hash.update(piece);
      for (let done = 0; done < piece.byteLength; ) {
        const length = Math.min(WRITE_BYTES, piece.byteLength - done);
        done += (await file.write(piece, done, length)).bytesWritten;
      }
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
