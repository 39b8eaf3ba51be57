import { readdir } from 'node:fs/promises';
import { relative, sep } from 'node:path';
import { byCodeUnits, isImageName } from './imageNames.js';
import { packNames } from './nameTable.js';
import type { SourceIndex } from './sourceIndex.js';

/** All images below a folder. Links to files count, links to folders are not followed. */
export async function indexFolder(root: string): Promise<SourceIndex> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => (entry.isFile() || entry.isSymbolicLink()) && isImageName(entry.name))
    .map((entry) => relative(root, `${entry.parentPath}${sep}${entry.name}`).split(sep).join('/'))
    .sort(byCodeUnits);
  return { count: names.length, names: packNames(names), storage: { kind: 'files', root } };
}
