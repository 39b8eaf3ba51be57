import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Bytes of one write call, which may have at most 2^31 - 1. */
const WRITE_BYTES = 2 ** 30;

/**
 * Writes a file atomically: writes the chunks to a temporary file in the same folder, syncs and renames it. On an error, such as
 * a full disk, an existing file is kept and the temporary file is removed.
 * @throws the file system's error, or that of `chunks`
 */
export async function writeChunksAtomically(
  path: string,
  chunks: Iterable<Uint8Array>,
  { writeBytes = WRITE_BYTES }: { readonly writeBytes?: number } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      for (const chunk of chunks) {
        let done = 0;
        while (done < chunk.byteLength) {
          const { bytesWritten } = await file.write(chunk, done, Math.min(writeBytes, chunk.byteLength - done));
          done += bytesWritten;
        }
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
