import { randomUUID } from 'node:crypto';
import { mkdir, open, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import writeFileAtomic from 'write-file-atomic';

/** A place where nothing can be written; `message` names what asked for it, the path and the reason. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/** What the system's codes mean where something is to be written. */
const REASONS: Readonly<Record<string, string>> = {
  EROFS: 'the disk is read-only',
  EACCES: 'this user may not write there',
  EPERM: 'the system allows nothing to be made there',
  ENOSPC: 'no room is left on the disk',
  EDQUOT: 'the quota of this user is spent',
  EFBIG: 'the file would be larger than files may be (ulimit -f, or the file system)',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'a folder stands there',
  ENOENT: 'the system makes nothing there',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its links lead in a circle',
};

/** The error of a place that cannot be written. @param what asked for it, such as `--out` */
function outputError(what: string, path: string, cause: unknown): OutputError {
  const code = codeOf(cause);
  const reason = REASONS[code];
  const text = reason === undefined ? (cause as Error).message : `${reason} (${code})`;
  return new OutputError(`${what}: ${path} cannot be written: ${text}`, { cause });
}

/** The nearest of a path and what is above it that exists, and the names from there on. */
async function nearestExisting(path: string): Promise<{ readonly existing: string; readonly missing: string[] }> {
  const missing: string[] = [];
  for (let existing = resolve(path); ; existing = dirname(existing)) {
    const found = await stat(existing).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (found?.isDirectory()) return { existing, missing };
    if (found) throw Object.assign(new Error(`${existing} is a file`), { code: 'ENOTDIR' });
    missing.unshift(basename(existing));
  }
}

/**
 * Makes a folder with those above it. Node's own `recursive` never ends where a file system takes no folders, as /proc: it makes
 * the folder above again and again.
 * @throws the system's error
 */
export async function makeFolder(path: string): Promise<void> {
  const { existing, missing } = await nearestExisting(path);
  let folder = existing;
  for (const name of missing) {
    folder = join(folder, name);
    await mkdir(folder).catch((error: unknown) => {
      // Another process was there first.
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  }
}

/** A name that nobody else has, beside what is to be written. */
const probeName = (path: string): string => `.${basename(path).slice(0, 100)}.${randomUUID()}.tmp`;

/**
 * Refuses a folder that cannot be made, or not be written to, before any work is done for it. Nothing is left behind.
 * @param what asks for it, such as `--out`
 * @throws OutputError
 */
export async function checkOutputFolder(what: string, path: string): Promise<void> {
  try {
    const { existing, missing } = await nearestExisting(path);
    for (const name of missing) if (name.length > 255) throw Object.assign(new Error(name), { code: 'ENAMETOOLONG' });
    const probe = join(existing, probeName(path));
    await mkdir(probe);
    await rmdir(probe);
  } catch (cause) {
    throw outputError(what, path, cause);
  }
}

/**
 * Refuses a file that cannot be written, before any work is done for it. Nothing is left behind, and a file that is there stays
 * as it is. Its folder has to be there.
 * @param what asks for it, such as `--out`
 * @throws OutputError
 */
export async function checkOutputFile(what: string, path: string): Promise<void> {
  const folder = dirname(resolve(path));
  try {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory()) throw Object.assign(new Error(path), { code: 'EISDIR' });
    const above = await nearestExisting(folder);
    if (above.missing.length > 0) {
      throw new OutputError(`${what}: ${path} cannot be written: there is no folder ${folder}; make it first`);
    }
    // What is no file, such as /dev/null and a pipe, is written to as it is.
    if (found !== undefined && !found.isFile()) return;
    const probe = join(folder, probeName(path));
    await (await open(probe, 'wx')).close();
    await rm(probe);
  } catch (cause) {
    throw cause instanceof OutputError ? cause : outputError(what, path, cause);
  }
}

/** Has a file written. @throws OutputError where the system refuses, as a disk that has become full. */
export async function writeOutput(what: string, path: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    throw codeOf(cause) === '' ? cause : outputError(what, path, cause);
  }
}

/**
 * Writes a file whole or not at all. What is no file, such as /dev/stdout, is written to as it is: put in place of it, a file
 * would take its name.
 * @throws OutputError
 */
export function writeOutputFile(what: string, path: string, content: string | Buffer): Promise<void> {
  return writeOutput(what, path, async () => {
    const found = await stat(path).catch(() => undefined);
    await (found === undefined || found.isFile() ? writeFileAtomic(path, content) : writeFile(path, content));
  });
}
