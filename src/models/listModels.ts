import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readManifestFile } from './folder.js';
import type { Manifest } from './manifest.js';

/** A model folder that was found; `problem` if its manifest cannot be read. */
export type ListedModel =
  | { readonly dir: string; readonly manifest: Manifest }
  | { readonly dir: string; readonly problem: string };

/**
 * The model folders inside folders, sorted by path: every folder with a manifest.json directly below. Manifests are read
 * and checked, other files are not (see verifyModel). A folder that does not exist holds none.
 */
export async function listModels(parents: readonly string[]): Promise<readonly ListedModel[]> {
  const found: ListedModel[] = [];
  for (const parent of new Set(parents)) {
    const entries = await readdir(parent, { withFileTypes: true }).catch(() => []);
    for (const { name } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const dir = join(parent, name);
      if (!(await readdir(dir).catch(() => [] as string[])).includes('manifest.json')) continue;
      try {
        found.push({ dir, manifest: await readManifestFile(dir) });
      } catch (error) {
        found.push({ dir, problem: (error as Error).message });
      }
    }
  }
  return found;
}
