import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, posix, relative, sep } from 'node:path';
import { ExperimentError } from './experimentError.js';
import { camelCase } from './flagNames.js';

/**
 * What evaluations write into the folder of a cell beside their results, such as `out-head: ${CELL}/head`. It is removed before an
 * evaluation is made again, since some commands refuse what exists already. Nothing else is ever removed.
 */

/** Flags that name what is written; a cache is none of them. */
const OUTPUT_FLAGS = new Set(['outHead', 'pictures']);

const variable = (name: string): string => `\${${name}}`;
const IN_CELL = `${variable('CELL')}/`;
const SEED = variable('SEED');

/** What a run, its cell or a cache has in the folder. */
const OF_THE_CELL =
  /^(\..*|cache|checkpoints|tensorboard|dry-run|(cell|config|curves|environment|log|loss|output|run|train)\..*|.*\.json)$/;

interface Flags {
  readonly name: string;
  readonly flags: Readonly<Record<string, unknown>>;
}

const textsOf = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Array.isArray(value) ? value.flatMap(textsOf) : [];

/** The path in the cell that a text names; undefined for a path elsewhere, or the cell itself. */
function pathInCell(text: string): string | undefined {
  if (!text.startsWith(IN_CELL)) return undefined;
  const path = posix.normalize(`./${text.slice(IN_CELL.length)}`).replace(/\/$/, '');
  return path === '.' || path === '..' || path.startsWith('../') ? undefined : path;
}

/** Paths in the cell that flags name. */
function pathsOf(
  flags: Flags['flags'],
): { readonly flag: string; readonly path: string; readonly isOutput: boolean }[] {
  return Object.entries(flags).flatMap(([flag, value]) =>
    textsOf(value).flatMap((text) => {
      const path = pathInCell(text);
      return path === undefined ? [] : [{ flag, path, isOutput: OUTPUT_FLAGS.has(camelCase(flag)) }];
    }),
  );
}

const isOfTheCell = (path: string): boolean => OF_THE_CELL.test(path.split(/[/\\]/)[0]!);

const contains = (outer: string, inner: string): boolean => outer === inner || inner.startsWith(`${outer}/`);

/**
 * Checks that what evaluations write into the cell can be removed without anything else.
 * @param path of the experiment's file, for errors.
 * @throws ExperimentError for an output that is a part of the run, or that shares a folder with other flags.
 */
export function checkOutputs(path: string, evaluations: readonly Flags[]): void {
  const all = evaluations.flatMap(({ name, flags }) =>
    pathsOf(flags).map((each) => ({ ...each, where: `evaluations.${name}.${each.flag}` })),
  );
  for (const output of all.filter(({ isOutput }) => isOutput)) {
    const where = `${path}: ${output.where}: ${IN_CELL}${output.path}`;
    if (output.path.replaceAll(SEED, '').includes('${')) {
      throw new ExperimentError(`${where}: in a cell, use no other variable than ${SEED}`);
    }
    if (isOfTheCell(output.path)) {
      throw new ExperimentError(`${where}: the cell itself uses this name; choose another, such as ${IN_CELL}head`);
    }
    const other = all.find(
      (each) => each !== output && (contains(each.path, output.path) || contains(output.path, each.path)),
    );
    if (other !== undefined) {
      throw new ExperimentError(
        `${where}: ${other.where} has this folder or one in it too; give each a folder of its own`,
      );
    }
  }
}

/** What an evaluation with these flags writes into the folder of a cell, relative to it. @param seed of the cell */
export function outputsOf(flags: Flags['flags'], seed: number): string[] {
  return pathsOf(flags).flatMap(({ path, isOutput }) => {
    const named = path.replaceAll(SEED, String(seed));
    return !isOutput || named.includes('${') || isOfTheCell(named) ? [] : [named];
  });
}

/** Removes what an evaluation with these flags has written into the folder of a cell. @param seed of the cell */
export async function removeOutputs(folder: string, flags: Flags['flags'], seed: number): Promise<void> {
  const cell = await realpath(folder);
  for (const path of outputsOf(flags, seed)) {
    const target = join(cell, path);
    // A link on the way may lead out of the cell.
    const parent = await realpath(dirname(target)).catch(() => undefined);
    if (parent === undefined) continue;
    const found = relative(cell, join(parent, basename(target)));
    if (isAbsolute(found) || found.split(sep)[0] === '..' || isOfTheCell(found)) continue;
    await rm(target, { recursive: true, force: true });
  }
}
