import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder, writeOutput } from '../files/output.js';
import { syncPath } from '../files/syncedFile.js';
import { digestOf, removeLeftovers, type Staged, temporaryOf, type WrittenFile } from './stagedFile.js';

/** A folder that a library fills beside its place, and that appears there when it is whole. */
export interface StagedFolder extends Staged {
  /** An empty folder in which the library creates `name`. */
  readonly parent: string;
  /** Name of the folder in `parent`, and later in its place. */
  readonly name: string;
}

/** Files and folders inside a folder, in the order of their names. */
async function contentOf(folder: string): Promise<{ readonly files: readonly string[]; readonly folders: string[] }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = (wanted: boolean) =>
    entries
      .filter((entry) => entry.isDirectory() === wanted)
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  return { files: paths(false), folders: paths(true) };
}

/**
 * Begins a folder of the output folder. The caller holds the lock of its shard. What an earlier attempt left in its place, whole or
 * not, stays there until the new one is committed.
 * @param path relative to the output folder, with / between folders; made by this program, never a name of the source
 * @throws OutputError, as all methods, if the system fails the write
 */
export async function stageFolder(out: string, path: string): Promise<StagedFolder> {
  const target = join(out, path);
  const name = basename(path);
  const parent = temporaryOf(target);
  const written = join(parent, name);
  const writing = <T>(work: () => Promise<T>): Promise<T> => writeOutput('--out', target, work);

  await writing(async () => {
    await makeFolder(dirname(target));
    await removeLeftovers(target, 0);
    await mkdir(parent);
  });
  return {
    parent,
    name,
    finish: () =>
      writing(async () => {
        const { files, folders } = await contentOf(written);
        const found: WrittenFile[] = [];
        for (const file of files) {
          await syncPath(file);
          const relative = file.slice(written.length + 1).replaceAll('\\', '/');
          found.push({ path: `${path}/${relative}`, ...(await digestOf(file)) });
        }
        for (const folder of [...folders, written]) await syncPath(folder);
        return found;
      }),
    commit: () =>
      writing(async () => {
        // Of an attempt that was killed before it wrote the record of its shard.
        await rm(target, { recursive: true, force: true });
        await rename(written, target);
        await rm(parent, { recursive: true, force: true });
        await syncPath(dirname(target));
      }),
    abandon: () => rm(parent, { recursive: true, force: true }),
  };
}
