import { createHash } from 'node:crypto';
import { ConfigError, parseTrainConfig, type TrainConfig } from '../train/config.js';
import { applySettings, type RawConfig, readRawConfig, type Setting, setKeys } from '../train/configFile.js';
import { didYouMean } from '../train/configKeys.js';
import { checkOutputs } from './evaluationOutputs.js';
import { ExperimentError } from './experimentError.js';
import { type ExperimentDocument, readExperimentFile } from './readExperimentFile.js';
import { expandAll, expandText, type Variables } from './variables.js';
import { crossVariants, settingsOf, type VariantSettings } from './variants.js';

/** A valid experiment: variants, seeds and evaluations, each checked before anything runs. */

/** One way to train. */
export interface Variant extends Omit<VariantSettings, 'settings'> {
  /** What it changes, as `key=value`, without what all variants have in common. */
  readonly changes: readonly string[];
  /** The keys of the training configuration as the files have them: variables in place, without defaults, name and seed. */
  readonly settings: RawConfig;
  /** Of a seed, with the values of variables and all defaults. */
  readonly configOf: (seed: number) => TrainConfig;
  /** The variant with which it is compared. */
  readonly baseline: string | undefined;
}

/** What `${CELL}`, `${OUT}` and `${SEED}` stand for in the flags of evaluations. */
export interface EvaluationPlace {
  readonly cell: string;
  readonly out: string;
  readonly seed: number;
}

/** A command `vicregl evaluate KIND`. */
export interface Evaluation {
  readonly name: string;
  readonly kind: string;
  /** Flags by their names, as the file has them. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The flags as arguments, with the values of variables. */
  readonly argumentsIn: (place: EvaluationPlace) => string[];
  /** Files and folders that it reads: paths with environment variables. */
  readonly inputs: readonly string[];
}

export interface Experiment {
  readonly path: string;
  readonly name: string;
  /** Name or path of the base configuration. */
  readonly recipe: string;
  readonly variants: readonly Variant[];
  readonly seeds: readonly number[];
  readonly evaluations: readonly Evaluation[];
  /** Whether a collapsed run fails its cell. */
  readonly collapsed: 'fail' | 'evaluate';
}

/**
 * Checks the flags of an evaluation.
 * @param where names them in errors.
 * @returns arguments of `vicregl evaluate KIND`.
 * @throws ExperimentError for an unknown kind or flag, or a value that the command rejects.
 */
export type EvaluationCommand = (kind: string, flags: Readonly<Record<string, unknown>>, where: string) => string[];

export interface LoadOptions {
  /** Path of a bundled recipe. @throws for an unknown name */
  readonly recipePath: (name: string) => Promise<string>;
  readonly evaluationCommand: EvaluationCommand;
  readonly variables: Variables;
}

/** JSON with sorted keys, so that equal settings have equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** Identifies settings. */
export const digestOf = (settings: unknown): string =>
  createHash('sha256').update(canonical(settings)).digest('hex').slice(0, 16);

function required<T>(value: T | undefined, key: string, path: string, hint: string): T {
  if (value === undefined) throw new ExperimentError(`${path}: ${key} is missing; ${hint}`);
  return value;
}

/** The baseline of a variant: by name, or with other values on some axes of the matrix. */
function baselineOf(variant: VariantSettings, all: readonly VariantSettings[], document: ExperimentDocument): string {
  const { path, baseline, matrix } = document;
  const names = all.map(({ name }) => name);
  if (typeof baseline === 'string') {
    if (!names.includes(baseline)) {
      throw new ExperimentError(`${path}: baseline: there is no variant "${baseline}"; ${didYouMean(baseline, names)}`);
    }
    return baseline;
  }
  const wanted = { ...variant.coordinates };
  for (const [axis, value] of Object.entries(baseline!)) {
    if (!matrix.has(axis)) {
      throw new ExperimentError(
        `${path}: baseline: the matrix has no axis "${axis}"; ${didYouMean(axis, [...matrix.keys()])}`,
      );
    }
    wanted[axis] = typeof value === 'string' ? value : JSON.stringify(value);
  }
  const found = all.find(
    ({ group, coordinates }) => group === variant.group && canonical(coordinates) === canonical(wanted),
  );
  if (found === undefined) {
    throw new ExperimentError(
      `${path}: baseline: the matrix has no ${JSON.stringify(baseline)}; use values that it lists`,
    );
  }
  return found.name;
}

async function recipeOf(document: ExperimentDocument, { recipePath }: LoadOptions) {
  const recipe = required(
    document.recipe,
    'recipe',
    document.path,
    'name a bundled recipe, or the path of a configuration',
  );
  const path = 'path' in recipe ? recipe.path : await recipePath(recipe.bundled);
  return { shown: 'path' in recipe ? recipe.path : recipe.bundled, path, raw: await readRawConfig(path) };
}

const textOf = (setting: Setting): string => (typeof setting === 'string' ? setting : setting.text);

/** @throws ExperimentError for keys that the cells decide themselves. */
function refuseOwnKeys(settings: readonly Setting[], path: string): void {
  for (const { path: key, flag } of setKeys(settings)) {
    const advice = { name: 'cells are named after their variant and seed', seed: 'list them under seeds' }[
      key.join('.')
    ];
    if (advice !== undefined) throw new ExperimentError(`${path}: ${flag}: remove it; ${advice}`);
  }
}

/** Texts with environment variables. What is written is written to the folder of a cell. */
function inputsOf(value: unknown): string[] {
  if (typeof value === 'string')
    return /\$\{(?!CELL\}|OUT\}|SEED\})/.test(value) && !/\$\{(CELL|OUT|SEED)\}/.test(value) ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(inputsOf) : [];
}

/** The recipe with settings over it. @throws ExperimentError for a key that does not exist. */
function settled(raw: RawConfig, settings: readonly Setting[], path: string): RawConfig {
  try {
    return applySettings(raw, settings);
  } catch (cause) {
    throw cause instanceof ConfigError ? new ExperimentError(`${path}: ${cause.message}`, { cause }) : cause;
  }
}

function evaluationOf(
  name: string,
  { kind = name, ...own }: Readonly<Record<string, unknown>>,
  { path }: ExperimentDocument,
  { evaluationCommand, variables }: LoadOptions,
): Evaluation {
  const where = `${path}: evaluations.${name}`;
  // The same images for all cells, so that differences are paired.
  const flags = { seed: 0, ...own };
  const expanded = ({ cell, out, seed }: EvaluationPlace) => {
    const all = { ...variables, CELL: cell, OUT: out, SEED: String(seed) };
    return evaluationCommand(String(kind), expandAll(flags, all, where), where);
  };
  expanded({ cell: 'CELL', out: 'OUT', seed: 0 });
  return {
    ...{ name, kind: String(kind), flags },
    argumentsIn: expanded,
    inputs: inputsOf(flags)
      .map((text) => expandText(text, variables, where))
      .filter((path) => path.includes('/')),
  };
}

/**
 * Reads and checks an experiment: its files, the training configuration of every variant, the flags of every evaluation, and that
 * all variables are set.
 * @throws ExperimentError, or ConfigError for a variant, that names the file, the key and the way out.
 */
export async function loadExperiment(path: string, options: LoadOptions): Promise<Experiment> {
  const document = await readExperimentFile(path);
  const name = required(document.name, 'name', path, 'add a name for the experiment');
  const seeds = required(document.seeds, 'seeds', path, 'add them, such as seeds: [1, 2, 3]');
  const recipe = await recipeOf(document, options);
  const common = document.set.flatMap((group) => settingsOf(group, 'set'));
  const crossed = crossVariants(document);
  const variants = crossed.map((variant): Variant => {
    const { settings: own, ...about } = variant;
    const all = [...common, ...own];
    refuseOwnKeys(all, path);
    const { name: _, seed: __, ...settings } = settled(recipe.raw, all, path);
    const what = `variant ${variant.name} of ${path}`;
    const expanded = expandAll(settings, options.variables, what);
    const configOf = (seed: number) =>
      parseTrainConfig({ ...expanded, name: `${name}-${variant.name}-seed-${seed}`, seed }, what, setKeys(all));
    configOf(seeds[0]!);
    return {
      ...about,
      changes: own.map(textOf),
      settings,
      configOf,
      baseline: document.baseline === undefined ? undefined : baselineOf(variant, crossed, document),
    };
  });
  const evaluations = [...document.evaluations].map(([each, flags]) => evaluationOf(each, flags, document, options));
  checkOutputs(path, evaluations);
  return {
    ...{ path, name, seeds, variants, evaluations, recipe: recipe.shown },
    collapsed: document.collapsed ?? 'fail',
  };
}
