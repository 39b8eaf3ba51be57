import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { manifestFileName } from '../../../models/folder.js';

/** A version of a model in a models directory: the folder DIR/NAME/VERSION. */
export interface ModelVersion {
  readonly name: string;
  /** A whole number without leading zeros. */
  readonly version: string;
  readonly dir: string;
  /** Changes with the names, sizes, times of modification and identities of its files. */
  readonly signature: string;
}

export interface ScannedDir {
  /** The versions of each model, the highest first. */
  readonly models: ReadonlyMap<string, readonly ModelVersion[]>;
  /** Names of model folders that lie in the directory itself instead of in NAME/VERSION. */
  readonly misplaced: readonly string[];
}

const VERSION = /^[1-9]\d{0,14}$/;

/** Names of the folders in a folder, also by symbolic links; hidden ones are left out. @throws if it cannot be read */
async function foldersOf(dir: string): Promise<string[]> {
  const names = (await readdir(dir)).filter((name) => !name.startsWith('.')).sort();
  const folders: string[] = [];
  for (const name of names) {
    if ((await stat(join(dir, name)).catch(() => undefined))?.isDirectory()) folders.push(name);
  }
  return folders;
}

async function signatureOf(dir: string): Promise<string> {
  const facts: string[] = [];
  for (const name of (await readdir(dir)).sort()) {
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found) facts.push(`${name}:${found.size}:${found.mtimeMs}:${found.ino}`);
  }
  return facts.join('|');
}

/**
 * Lists a models directory: DIR/NAME/VERSION/manifest.json. Other files and folders, and hidden ones, are left out: a version can be
 * written under another name and then renamed.
 * @throws the error of the file system if the directory cannot be read
 */
export async function scanModelDir(dir: string): Promise<ScannedDir> {
  const models = new Map<string, readonly ModelVersion[]>();
  const misplaced: string[] = [];
  for (const name of await foldersOf(dir)) {
    const parent = join(dir, name);
    const versions: ModelVersion[] = [];
    // A folder that goes away meanwhile has no versions.
    for (const version of await foldersOf(parent).catch(() => [])) {
      if (!VERSION.test(version)) continue;
      const at = join(parent, version);
      versions.push({ name, version, dir: at, signature: await signatureOf(at).catch(() => '') });
    }
    versions.sort((a, b) => Number(b.version) - Number(a.version));
    if (versions.length > 0) models.set(name, versions);
    else if (await stat(join(parent, manifestFileName)).catch(() => undefined)) misplaced.push(name);
  }
  return { models, misplaced };
}
