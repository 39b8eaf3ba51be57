import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { readFile, rename, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { checkOutputFolder } from '../files/output.js';
import { withFolderBeside } from '../files/scratch.js';
import { type FileContent, syncPath, writeSynced } from '../files/syncedFile.js';
import { listedFileProblem } from './listedFile.js';
import type { Manifest } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';
import { parseManifest } from './parseManifest.js';

/** The graphs a model may have; keys of `manifest.graphs`. */
export type GraphKind = keyof Manifest['graphs'];

/** All of them, the backbone first. */
export const graphKinds = [
  'backbone',
  'localProjector',
  'expander',
  'classifier',
] as const satisfies readonly GraphKind[];

/** A verified model folder: every file is there with the size and checksum that its manifest gives. */
export interface ModelFolder {
  /** Absolute path. */
  readonly dir: string;
  readonly manifest: Manifest;
  /** Absolute path of a graph; undefined if the model has none of that kind. */
  graphPath(kind: GraphKind): string | undefined;
}

/** Name of the manifest inside a model folder. */
export const manifestFileName = 'manifest.json';

async function readManifest(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ModelFolderError(
      `cannot read ${path}: ${fileProblem(cause)}; a model folder holds ${manifestFileName} and the files it lists`,
      { cause },
    );
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelFolderError(`${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
}

/** The manifest of a model folder, checked; the files that it lists are not. @throws ModelFolderError. */
export async function readManifestFile(dir: string): Promise<Manifest> {
  const path = join(resolve(dir), manifestFileName);
  return parseManifest(await readManifest(path), path);
}

/**
 * Opens a model folder: reads and checks manifest.json, then the size and sha256 of every file it lists. Files that it
 * does not list are left alone.
 * @throws ModelFolderError naming every key or file that is wrong, with what was expected and what was found.
 */
export async function openModelFolder(dir: string): Promise<ModelFolder> {
  const root = resolve(dir);
  const manifest = await readManifestFile(root);
  const problems: string[] = [];
  for (const [name, expected] of Object.entries(manifest.files)) {
    const problem = await listedFileProblem(join(root, name), expected);
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length > 0) {
    throw new ModelFolderError(
      `model folder ${root} is damaged; fetch or export it again:\n  ${problems.join('\n  ')}`,
    );
  }
  return {
    dir: root,
    manifest,
    graphPath(kind) {
      const file = manifest.graphs[kind];
      return file === undefined ? undefined : join(root, file);
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/**
 * Whether a folder may be replaced: it is empty, or a model folder that holds no file beyond those that its manifest
 * lists. Anything else may be a run, other models or a user's work.
 */
function isReplaceable(dir: string): boolean {
  try {
    const names = readdirSync(dir);
    if (names.length === 0) return true;
    // Only the list of files is read, since folders of other versions are model folders too.
    const { files } = JSON.parse(readFileSync(join(dir, manifestFileName), 'utf8')) as Partial<Manifest>;
    return names.every((name) => name === manifestFileName || Object.hasOwn(files ?? {}, name));
  } catch {
    return false;
  }
}

const notReplaced = (target: string) =>
  new ModelFolderError(
    `${target} is not a model folder, or holds files that its manifest does not list; it is not replaced. ` +
      'Move it away, or choose another folder',
  );

/**
 * Renames a finished folder to its target in place of what is there. Synchronous, so that no signal ends the process between the
 * two renames.
 * @throws ModelFolderError, with the target as it was, if files that are not of a model have come into it since it was checked.
 */
function replaceFolder(finished: string, target: string): void {
  const aside = `${finished}.old`;
  renameSync(target, aside);
  try {
    // Checked under the other name, under which nobody adds files.
    if (!isReplaceable(aside)) throw notReplaced(target);
    renameSync(finished, target);
  } catch (error) {
    try {
      renameSync(aside, target);
    } catch (cause) {
      throw new ModelFolderError(`${target} was taken while it was replaced; the previous folder is ${aside}`, {
        cause,
      });
    }
    throw error;
  }
  rmSync(aside, { recursive: true });
}

/** Codes of a rename to a path at which something other than an empty folder stands. */
const TAKEN: readonly unknown[] = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'];

/** @throws ModelFolderError if something has come to the target since it was checked, unless it is a model folder and `force`. */
async function moveIntoPlace(finished: string, target: string, force: boolean): Promise<void> {
  if (force && (await exists(target))) return replaceFolder(finished, target);
  try {
    await rename(finished, target);
  } catch (cause) {
    if (!TAKEN.includes((cause as NodeJS.ErrnoException).code)) throw cause;
    throw new ModelFolderError(
      `${target} exists already: it came into being while the model was written, and is not replaced; choose another folder`,
      { cause },
    );
  }
}

/**
 * Checks that a model folder may be written at a path, before any work is done for it.
 * @throws ModelFolderError if the path exists, unless `force` is given and it is a model folder; OutputError if nothing can
 *   be written there.
 */
export async function requireFreePlace(dir: string, force: boolean): Promise<void> {
  const target = resolve(dir);
  const taken = await exists(target);
  // The replacement of a folder is written beside it, then renamed.
  await checkOutputFolder('the model folder', taken ? dirname(target) : target);
  if (!taken) return;
  if (!force) {
    throw new ModelFolderError(`${target} exists already; choose another folder, or overwrite it with --force`);
  }
  if (!isReplaceable(target)) throw notReplaced(target);
}

export interface WriteOptions {
  /** Replaces an existing model folder; anything else at the path is never removed. */
  readonly force?: boolean;
  /** Called with the folder of the written files; its result is added to the manifest. */
  readonly complete?: (written: string) => Promise<Partial<Manifest>>;
}

/**
 * Writes a model folder as a whole: all files are written to a temporary folder beside the target and synced, then the
 * folder is renamed. To replace a folder takes two renames: for an instant, nothing is at the path. Sizes and checksums of
 * `files` are added to the manifest.
 * @param files file name -> content, without manifest.json
 * @returns the manifest as written
 * @throws ModelFolderError if the folder exists (unless `force`), also if it has come into being meanwhile, or the manifest is not valid.
 */
export async function writeModelFolder(
  dir: string,
  manifest: Omit<Manifest, 'files'>,
  files: ReadonlyMap<string, FileContent>,
  { force = false, complete = async () => ({}) }: WriteOptions = {},
): Promise<Manifest> {
  const target = resolve(dir);
  const about = `the manifest of ${target}`;
  if (files.has(manifestFileName)) {
    throw new ModelFolderError(`files holds ${manifestFileName}, which is written from the manifest; leave it out`);
  }
  await requireFreePlace(target, force);
  const placeholder = { sha256: '0'.repeat(64), bytes: 0 };
  parseManifest(
    { ...manifest, files: Object.fromEntries([...files.keys()].map((name) => [name, placeholder])) },
    about,
  );

  return withFolderBeside(target, async (temporary) => {
    const listed: Record<string, Manifest['files'][string]> = {};
    for (const [name, content] of files) listed[name] = await writeSynced(join(temporary, name), content);
    const whole = parseManifest({ ...manifest, ...(await complete(temporary)), files: listed }, about);
    const text = new TextEncoder().encode(`${JSON.stringify(whole, null, 2)}\n`);
    await writeSynced(join(temporary, manifestFileName), text);
    await syncPath(temporary);
    await moveIntoPlace(temporary, target, force);
    await syncPath(dirname(target));
    return whole;
  });
}
