import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { fileProblem } from '../files/fileProblem.js';
import { explainIssue, type KeyTree, keyTree } from '../train/configKeys.js';
import { ExperimentError } from './experimentError.js';
import { type ExperimentFile, experimentFileSchema, type SettingsGroup } from './fileSchema.js';
import { camelCase } from './flagNames.js';

/** Experiment files: YAML, one building on others (`extends`). */

/** What an experiment's files say together. */
export interface ExperimentDocument {
  /** The file that was asked for. */
  readonly path: string;
  readonly name?: string | undefined;
  /** A bundled recipe, or the path of a configuration. */
  readonly recipe?: { readonly bundled: string } | { readonly path: string } | undefined;
  /** Keys for all cells, of the files in the order in which they apply. */
  readonly set: readonly SettingsGroup[];
  readonly variants: ReadonlyMap<string, SettingsGroup>;
  readonly matrix: ReadonlyMap<string, readonly unknown[] | Readonly<Record<string, SettingsGroup>>>;
  readonly seeds?: readonly number[] | undefined;
  readonly evaluations: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  readonly baseline?: ExperimentFile['baseline'];
  readonly collapsed?: ExperimentFile['collapsed'];
}

let keys: KeyTree | undefined;

/** Line of the node at a path, or of the nearest one above it that exists. */
function lineOf(root: Node | null, lines: LineCounter, path: readonly PropertyKey[]): number {
  let line = 1;
  let node: unknown = root;
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) break;
      line = lines.linePos((pair.key as Node).range![0]).line;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      const range = (node as Node | undefined)?.range;
      if (range) line = lines.linePos(range[0]).line;
    } else break;
  }
  return line;
}

async function readOne(path: string, from: string | undefined): Promise<ExperimentFile> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const named = from === undefined ? path : `${path}, which ${from} extends,`;
    throw new ExperimentError(`${named} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error !== undefined) throw new ExperimentError(`${path} is not YAML: ${error.message}`, { cause: error });
  const parsed = experimentFileSchema.safeParse(document.toJS(), { reportInput: true });
  if (parsed.success) return parsed.data;
  keys ??= keyTree(experimentFileSchema);
  const problems = parsed.error.issues.flatMap((issue) => {
    const at = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]!] : issue.path;
    const where = `line ${lineOf(document.contents, lines, at)}, ${issue.path.join('.') || '(top level)'}`;
    return explainIssue(issue, keys!).map((problem) => `  ${where}: ${problem}`);
  });
  throw new ExperimentError(`${path} is not a valid experiment:\n${problems.join('\n')}`);
}

const EMPTY: Omit<ExperimentDocument, 'path'> = {
  set: [],
  variants: new Map(),
  matrix: new Map(),
  evaluations: new Map(),
};

/** Entries over others; null takes one away. */
function over<T>(below: ReadonlyMap<string, T>, above: Readonly<Record<string, T | null>> = {}): Map<string, T> {
  const merged = new Map(below);
  for (const [key, value] of Object.entries(above)) {
    if (value === null) merged.delete(key);
    else merged.set(key, value);
  }
  return merged;
}

type Evaluations = ExperimentDocument['evaluations'];

type Flags = Readonly<Record<string, unknown>>;

/** Flags over others, which they replace or take away in either spelling. */
function overFlags(below: Flags, above: Flags): Flags {
  const own = new Set(Object.keys(above).map(camelCase));
  const kept = Object.entries(below).filter(([flag]) => !own.has(camelCase(flag)));
  return Object.fromEntries(over(new Map(kept), above));
}

/** Evaluations over others, flag by flag. */
function overEvaluations(below: Evaluations, above: ExperimentFile['evaluations'] = {}): Evaluations {
  const flags = Object.entries(above).map(([name, own]): [string, Flags | null] => [
    name,
    own && overFlags(below.get(name) ?? {}, own),
  ]);
  return over(below, Object.fromEntries(flags));
}

type Settled = Omit<ExperimentDocument, 'path'>;

/** A file with what it extends, over what stands below them. @param chain files that led here. */
async function readOver(below: Settled, path: string, chain: readonly string[]): Promise<Settled> {
  const { extends: bases = [], ...file } = await readOne(path, chain.at(-1));
  const files = [...chain, path];
  let base = below;
  for (const extended of typeof bases === 'string' ? [bases] : bases) {
    const parent = resolve(dirname(path), extended);
    if (files.some((each) => resolve(each) === parent)) {
      throw new ExperimentError(`${path}: extends goes round in a circle: ${[...files, parent].join(' -> ')}`);
    }
    base = await readOver(base, parent, files);
  }
  return {
    name: file.name ?? base.name,
    recipe: file.recipe === undefined ? base.recipe : recipeOf(file.recipe, path),
    set: [...base.set, ...(file.set === undefined ? [] : [file.set])],
    variants: over(base.variants, file.variants),
    matrix: over(base.matrix, file.matrix),
    seeds: file.seeds ?? base.seeds,
    evaluations: overEvaluations(base.evaluations, file.evaluations),
    baseline: file.baseline ?? base.baseline,
    collapsed: file.collapsed ?? base.collapsed,
  };
}

/** A file has an ending or a folder; everything else is the name of a bundled recipe. */
function recipeOf(recipe: string, file: string): NonNullable<ExperimentDocument['recipe']> {
  const isPath = /[/\\]|\.(ya?ml|json)$/.test(recipe);
  return isPath ? { path: resolve(dirname(file), recipe) } : { bundled: recipe };
}

/**
 * Reads an experiment's file with everything that it extends.
 * @throws ExperimentError naming the file and line of every problem.
 */
export async function readExperimentFile(path: string): Promise<ExperimentDocument> {
  return { path, ...(await readOver(EMPTY, path, [])) };
}
