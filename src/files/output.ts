import { mkdir, open, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { writeFileAtomically } from './atomicFile.js';
import { isFileError } from './fileProblem.js';
import { temporaryName } from './temporaryName.js';

/** An output path that cannot be written; `message` names the flag, the path and the reason. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/** Descriptions of file system errors when writing, by their codes. */
const REASONS: Readonly<Record<string, string>> = {
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'the operation is not permitted',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is exceeded',
  EFBIG: 'the file exceeds the maximum size (ulimit -f, or the file system)',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'it is a folder',
  ENOENT: 'nothing can be created there',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its symbolic links form a cycle',
};

/** An empty path would mean the current folder in some places, and nothing in others. */
function checkGiven(what: string, path: string): void {
  if (path === '') throw new OutputError(`${what}: empty; name a file or folder (. is the current folder)`);
}

/** The error for a path that cannot be written. @param what names it in the error, such as `--out` */
function outputError(what: string, path: string, cause: unknown): OutputError {
  const code = codeOf(cause);
  const reason = REASONS[code];
  const text = reason === undefined ? (cause as Error).message : `${reason} (${code})`;
  return new OutputError(`${what}: ${path} cannot be written: ${text}`, { cause });
}

/** The nearest existing ancestor of a path (or the path itself), and the remaining names. */
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
 * Creates a folder and its parents. Node's option `recursive` is not used, because it loops endlessly on file systems in which
 * folders cannot be created, such as /proc.
 * @throws the file system's error
 */
export async function makeFolder(path: string): Promise<void> {
  const { existing, missing } = await nearestExisting(path);
  let folder = existing;
  for (const name of missing) {
    folder = join(folder, name);
    await mkdir(folder).catch((error: unknown) => {
      // Another process has created it in the meantime.
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  }
}

/**
 * Checks that a folder can be created and written to, before any work is done. Leaves nothing behind.
 * @param what names it in the error, such as `--out`
 * @throws OutputError
 */
export async function checkOutputFolder(what: string, path: string): Promise<void> {
  checkGiven(what, path);
  try {
    const { existing, missing } = await nearestExisting(path);
    for (const name of missing) if (name.length > 255) throw Object.assign(new Error(name), { code: 'ENAMETOOLONG' });
    const probe = join(existing, temporaryName(path));
    await mkdir(probe);
    await rmdir(probe);
  } catch (cause) {
    throw outputError(what, path, cause);
  }
}

/**
 * Checks that a file can be written, before any work is done. Leaves nothing behind, and does not change an existing file. Its
 * folder must exist.
 * @param what names it in the error, such as `--out`
 * @throws OutputError
 */
export async function checkOutputFile(what: string, path: string): Promise<void> {
  checkGiven(what, path);
  const folder = dirname(resolve(path));
  try {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory()) throw Object.assign(new Error(path), { code: 'EISDIR' });
    const above = await nearestExisting(folder);
    if (above.missing.length > 0) {
      throw new OutputError(`${what}: ${path} cannot be written: there is no folder ${folder}; create it first`);
    }
    // Special files, such as /dev/null and pipes, are written to directly.
    if (found !== undefined && !found.isFile()) return;
    const probe = join(folder, temporaryName(path));
    await (await open(probe, 'wx')).close();
    await rm(probe);
  } catch (cause) {
    throw cause instanceof OutputError ? cause : outputError(what, path, cause);
  }
}

/** Runs a write. @throws OutputError if the file system fails it, for example because the disk is full; other errors as they are. */
export async function writeOutput<T>(what: string, path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    throw isFileError(cause) || codeOf(cause) in REASONS ? outputError(what, path, cause) : cause;
  }
}

/**
 * Writes a file atomically. Special files, such as /dev/stdout, are written to directly: a rename would replace them by a regular
 * file.
 * @param content the whole, or its pieces in their order
 * @throws OutputError
 */
export function writeOutputFile(
  what: string,
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array>,
): Promise<void> {
  return writeOutput(what, path, async () => {
    const found = await stat(path).catch(() => undefined);
    await (found === undefined || found.isFile() ? writeFileAtomically(path, content) : writeFile(path, content));
  });
}
