import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { onExit } from 'signal-exit';
import { makeFolder } from './output.js';
import { temporaryName } from './temporaryName.js';

/**
 * Runs work with a temporary folder, and removes the folder at the end: also if the work fails, and if a signal such as that of
 * Ctrl-C ends the process, as long as no other listener keeps the signal from ending it.
 */
export async function withScratch<T>(work: (dir: string) => Promise<T>): Promise<T> {
  return thenRemoved(await mkdtemp(join(tmpdir(), 'vicregl-')), work);
}

/**
 * The same with a hidden folder beside a path, on the same file system, so that the work can end by renaming it to that path. Creates
 * the folders above it.
 * @throws the file system's error
 */
export async function withFolderBeside<T>(path: string, work: (dir: string) => Promise<T>): Promise<T> {
  const target = resolve(path);
  const dir = join(dirname(target), temporaryName(target));
  await makeFolder(dir);
  return thenRemoved(dir, work);
}

async function thenRemoved<T>(dir: string, work: (dir: string) => Promise<T>): Promise<T> {
  // Writes of other threads may go on while the folder is removed: hence the retries.
  const off = onExit(() => rmSync(dir, { recursive: true, force: true, maxRetries: 3 }));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
    off();
  }
}
