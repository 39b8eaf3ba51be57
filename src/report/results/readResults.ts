import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ResultError, readResult } from '../../evaluate/result/readResult.js';
import type { EvaluationResult } from '../../evaluate/result/schema.js';
import { fileProblem } from '../../files/fileProblem.js';

/** A result and the path that it was read from, as it was given. */
export interface ResultFile {
  readonly path: string;
  readonly result: EvaluationResult;
}

const unreadable = (path: string, cause: unknown): ResultError =>
  new ResultError('unreadable', `${path} cannot be read: ${fileProblem(cause)}`, { cause });

/** JSON files in a folder and the folders within it, sorted. */
async function jsonFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw unreadable(folder, cause);
  });
  return entries
    .filter((entry) => !entry.isDirectory() && entry.name.endsWith('.json'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** The results of a folder. JSON files of another kind are left out. */
async function resultsIn(folder: string): Promise<ResultFile[]> {
  const found: ResultFile[] = [];
  for (const path of await jsonFiles(folder)) {
    try {
      found.push({ path, result: await readResult(path) });
    } catch (error) {
      if (!(error instanceof ResultError && error.code === 'foreign')) throw error;
    }
  }
  if (found.length === 0) {
    throw new ResultError('foreign', `${folder} contains no result of vicregl evaluate (--out FILE.json writes one)`);
  }
  return found;
}

/**
 * Reads results: files, and all files in folders that are results. A file that is given twice is read once.
 * @throws ResultError that names the file or folder, and what is wrong with it.
 */
export async function readResults(paths: readonly string[]): Promise<ResultFile[]> {
  const files: ResultFile[] = [];
  const seen = new Set<string>();
  for (const path of paths) {
    const found = await stat(path).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    for (const file of found.isDirectory() ? await resultsIn(path) : [{ path, result: await readResult(path) }]) {
      const real = await realpath(file.path);
      if (seen.has(real)) continue;
      seen.add(real);
      files.push(file);
    }
  }
  return files;
}
