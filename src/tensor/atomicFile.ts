import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** One write call takes at most 2^31 - 1 bytes. */
const WRITE_BYTES = 2 ** 30;

/**
 * Writes a file whole or not at all: the chunks go to a temporary file beside it, which is synced and renamed. On an
 * error (a full disk, say) what stood at the path stays, and the temporary file is removed. Unlike write-file-atomic it
 * takes files of any size without holding them in one buffer.
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
