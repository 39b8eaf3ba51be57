import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { fileProblem } from '../files/fileProblem.js';
import { betterOf } from './checkpointScore.js';
import { ConfigError, parseTrainConfig, type SetKey, type TrainConfig, trainConfigKeys } from './config.js';
import { firstUnknown, unknownKey } from './configKeys.js';

/**
 * Configuration files: YAML or JSON, one extending another (`extends: ./other.yaml`), and `key=value` settings over
 * them. config.ts defines the keys and their valid values.
 */

/** Keys and values as a file has them. */
export type RawConfig = Readonly<Record<string, unknown>>;

function isGroup(value: unknown): value is RawConfig {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Lays one configuration over another as JSON Merge Patch does (RFC 7396): groups are merged key by key, lists and
 * values replaced, and null takes a key away.
 */
function mergeConfig(base: unknown, over: RawConfig): RawConfig {
  const merged = new Map(Object.entries(isGroup(base) ? base : {}));
  for (const [key, value] of Object.entries(over)) {
    if (value === null) merged.delete(key);
    else merged.set(key, isGroup(value) ? mergeConfig(merged.get(key), value) : value);
  }
  return Object.fromEntries(merged);
}

/**
 * Takes `checkpoints.best.mode` away where its metric implies it: the file of a run has all defaults, and the mode of a metric must
 * not stay where another file or a setting names another metric. Validation fills it in again.
 */
function withoutUsualMode(raw: RawConfig): RawConfig {
  const checkpoints = isGroup(raw) ? raw['checkpoints'] : undefined;
  const best = isGroup(checkpoints) ? checkpoints['best'] : undefined;
  if (!isGroup(best)) return raw;
  const { metric, mode } = best;
  if (typeof metric !== 'string' || mode === undefined || mode !== betterOf(metric)) return raw;
  return mergeConfig(raw, { checkpoints: { best: { mode: null } } });
}

/** A `key=value` that changes a configuration; `flag` names a flag other than --set that it comes from. */
export type Setting = string | { readonly text: string; readonly flag: string };

const textOf = (setting: Setting): string => (typeof setting === 'string' ? setting : setting.text);
const flagOf = (setting: Setting): string => (typeof setting === 'string' ? `--set ${setting}` : setting.flag);

/** The keys that settings set, for messages. */
export function setKeys(settings: readonly Setting[]): SetKey[] {
  return settings.map((setting) => ({
    path: textOf(setting).split('=')[0]!.split('.'),
    flag: flagOf(setting),
  }));
}

/** A setting taken apart. @throws ConfigError for one that is not of the form `a.b.c=value`. */
export function parseSetting(setting: Setting): SetKey & { readonly value: unknown } {
  const flag = flagOf(setting);
  const text = textOf(setting);
  const at = text.indexOf('=');
  if (at < 1) throw new ConfigError(`${flag}: write key=value, such as optimizer.baseLr=0.001`);
  try {
    return { path: text.slice(0, at).split('.'), flag, value: parse(text.slice(at + 1)) };
  } catch (cause) {
    throw new ConfigError(`${flag}: the value is not YAML: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Applies `a.b.c=value` settings in their order; values are read as YAML, and null takes a key away.
 * @throws ConfigError for one that is not of this form, or that takes away a key that there is not.
 */
export function applySettings(raw: RawConfig, settings: readonly Setting[]): RawConfig {
  return settings.reduce((config: RawConfig, setting) => {
    const { path: keys, flag, value } = parseSetting(setting);
    const last = keys.at(-1)!;
    if (/^\d+$/.test(last) || /\[.*\]$/.test(last)) {
      const list = [...keys.slice(0, -1), ...(last.includes('[') ? [last.slice(0, last.indexOf('['))] : [])].join('.');
      throw new ConfigError(`${flag}: a list is set as a whole, such as ${list}=[1, 2]`);
    }
    let group: unknown = config;
    for (const key of keys.slice(0, -1)) {
      group = isGroup(group) && Object.hasOwn(group, key) ? (group[key] ?? undefined) : undefined;
      if (group !== undefined && !isGroup(group)) {
        throw new ConfigError(`${flag}: "${key}" is not a group of keys`);
      }
    }
    // Validation does not see an object's own __proto__.
    if (keys.includes('__proto__')) throw new ConfigError(`${flag}: "__proto__" is no key`);
    // A key that null removes cannot be checked afterwards.
    const unknown = firstUnknown(trainConfigKeys(), keys, value);
    if (unknown !== undefined) {
      const where = unknown.path.length === 0 ? '' : `${unknown.path.join('.')}: `;
      throw new ConfigError(`${flag}: ${where}${unknownKey(trainConfigKeys(), unknown.path, unknown.key)}`);
    }
    const patch = keys.reduceRight<unknown>((inner, key) => Object.fromEntries([[key, inner]]), value);
    return mergeConfig(config, patch as RawConfig);
  }, withoutUsualMode(raw));
}

/** Reads the text of a YAML file. @throws ConfigError naming the file, where it is not YAML */
export function parseYaml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new ConfigError(`${path} is not YAML: ${(cause as Error).message}`, { cause });
  }
}

async function readOne(path: string, from: string | undefined): Promise<RawConfig> {
  const named = from === undefined ? `the configuration ${path}` : `${path}, which ${from} extends,`;
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`${named} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  const raw = parseYaml(text, path);
  if (!isGroup(raw)) throw new ConfigError(`${path} holds no keys`);
  return raw;
}

/** A file and those that it extends, as one set of keys without `extends`. @param chain files that led here. */
async function readExtending(path: string, chain: readonly string[]): Promise<RawConfig> {
  const { extends: base, ...own } = await readOne(path, chain.at(-1));
  if (base === undefined) return own;
  if (typeof base !== 'string' || base === '') {
    throw new ConfigError(`${path}: extends must name one file, relative to this one, not ${JSON.stringify(base)}`);
  }
  const parent = resolve(dirname(path), base);
  const files = [...chain, path];
  if (files.some((file) => resolve(file) === parent)) {
    throw new ConfigError(`${path}: extends goes round in a circle: ${[...files, parent].join(' -> ')}`);
  }
  return mergeConfig(withoutUsualMode(await readExtending(parent, files)), own);
}

/**
 * Reads a YAML (or JSON) configuration with everything that it extends, with the keys as written: not validated, without defaults.
 * @throws ConfigError for files that are missing, unreadable or extend each other in a circle.
 */
export const readRawConfig = (path: string): Promise<RawConfig> => readExtending(path, []);

/**
 * Reads a YAML (or JSON) configuration with all files that it extends, and applies `key=value` settings over it.
 * @throws ConfigError for files that are missing, unreadable or extend each other in a circle, and for every key that
 *   is wrong.
 */
export async function loadTrainConfig(path: string, settings: readonly Setting[] = []): Promise<TrainConfig> {
  return parseTrainConfig(applySettings(await readRawConfig(path), settings), path, setKeys(settings));
}
