import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncPath } from '../files/syncedFile.js';

/**
 * Writes a file beside its place, syncs it and renames it: at every moment there is the whole file or none.
 * @param write creates the file at the given path and closes it
 * @param remains further paths that a killed process may have left beside it
 * @throws what `write` throws, and the file system's errors; the temporary file is removed
 */
export async function writeWholeFile(
  path: string,
  write: (temporary: string) => Promise<void>,
  remains: (temporary: string) => readonly string[] = () => [],
): Promise<void> {
  const temporary = `${path}.tmp`;
  const remove = async (): Promise<void> => {
    for (const name of [temporary, ...remains(temporary)]) await rm(name, { recursive: true, force: true });
  };
  await remove();
  try {
    await write(temporary);
    const written = await open(temporary, 'r+');
    await written.sync().finally(() => written.close());
    await rename(temporary, path);
    await syncPath(dirname(path));
  } catch (error) {
    await remove();
    throw error;
  }
}
