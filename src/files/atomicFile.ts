import { rmSync } from 'node:fs';
import { chmod, chown, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { onExit } from 'signal-exit';
import { type FileContent, syncPath, writeSynced } from './syncedFile.js';
import { temporaryName } from './temporaryName.js';

/**
 * Writes a file whole or not at all: beside its place, synced, then renamed. A symbolic link stays, and the file that it leads to is
 * replaced. A file that is replaced hands on its permissions and, where the system allows it, its owner. What is beside its place is
 * removed if the write fails, and if a signal such as that of Ctrl-C ends the process.
 * @throws the file system's error, also if only a part of the content can be written; the file is then as it was
 */
export async function writeFileAtomically(
  path: string,
  content: string | FileContent | Iterable<Uint8Array>,
): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const before = await stat(target).catch(() => undefined);
  const temporary = join(dirname(target), temporaryName(target));
  const off = onExit(() => rmSync(temporary, { force: true }));
  try {
    await writeSynced(temporary, typeof content === 'string' ? Buffer.from(content) : content, before?.mode);
    if (before !== undefined) {
      // Only root may give files away, and not every file system has owners and permissions.
      await chown(temporary, before.uid, before.gid).catch(() => undefined);
      await chmod(temporary, before.mode).catch(() => undefined);
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    off();
  }
  // The file is in its place: a folder that cannot be opened or synced is no failure to write it.
  await syncPath(dirname(target)).catch(() => undefined);
}
