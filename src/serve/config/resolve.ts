import type { z } from 'zod';
import { type ConfigFile, ServeConfigError } from './configFile.js';
import { type ConfigKey, configKeys } from './keys.js';
import { type ServeConfig, serveConfigSchema } from './schema.js';
import { unknownTokenKey } from './securityKeys.js';
import { keyNames, suggestion, unknownVariables } from './unknownKeys.js';
import { type JsonSchema, valuesText } from './valuesText.js';

export interface ConfigSources {
  /** Texts of the flags by key, as given; a flag that was repeated has several. */
  readonly flags: Readonly<Record<string, string | readonly string[]>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file?: ConfigFile | undefined;
}

export interface ResolvedConfig {
  readonly config: ServeConfig;
  /** Where each value comes from: `--queue-images`, `VICREGL_QUEUE_IMAGES`, the file's path, or `default`. */
  readonly origins: ReadonlyMap<string, string>;
}

/**
 * Converts the text of a flag or variable to the key's type; an unsuitable text stays text, and the schema rejects it. The commas of a
 * text separate the entries of a list.
 */
function fromText(text: string, schema: JsonSchema): unknown {
  if (schema.type === 'integer' || schema.type === 'number') {
    const number = Number(text);
    return text.trim() === '' || Number.isNaN(number) ? text : number;
  }
  if (schema.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (schema.type === 'array') return text.split(',').map((part) => part.trim());
  return text;
}

/** The value of a key from the source with the highest precedence; undefined if no source has it. */
function lookUp({ name, env, flag, schema }: ConfigKey, sources: ConfigSources): [unknown, string] | undefined {
  const given = flag === undefined ? undefined : sources.flags[name];
  if (given !== undefined) {
    if (schema.type !== 'array') return [fromText(String(given), schema), flag!];
    const texts = [given].flat();
    // A flag can be repeated, so an entry that may have any text, such as a path, may have commas.
    return [schema.items?.pattern === undefined ? texts : texts.flatMap((text) => fromText(text, schema)), flag!];
  }
  const variable = env === undefined ? undefined : sources.env[env];
  // Compose files and charts pass unset variables as empty texts.
  if (variable !== undefined && variable !== '') return [fromText(variable, schema), env!];
  const { file } = sources;
  if (file && Object.hasOwn(file.content, name)) {
    const value = file.content[name];
    return [schema.type === 'array' && typeof value === 'string' ? [value] : value, file.path];
  }
  return undefined;
}

/** A value for an error message; long ones are cut, and what may be a secret is left out. */
function shown(name: string, value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  if (name === 'tokens' || text.includes('-----BEGIN')) return 'the value (not shown)';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

type Issue = z.core.$ZodIssue;

/** One line per problem: key, source, value, and the accepted values. */
function explain(issue: Issue, origins: ReadonlyMap<string, string>, file: ConfigFile | undefined): string[] {
  const name = String(issue.path[0] ?? '');
  const where = issue.path.join('.');
  const source = origins.get(name) ?? 'default';
  if (issue.code === 'unrecognized_keys') {
    return name === ''
      ? issue.keys.map((key) => `${key} (${file?.path}): no such key; ${suggestion(key, keyNames())}`)
      : [`${where} (${source}): ${unknownTokenKey}`];
  }
  const { schema, values } = configKeys().find((candidate) => candidate.name === name)!;
  // Of a token, a value in the wrong field may be the secret.
  if (name === 'tokens' && issue.path.length > 1) return [`${where} (${source}): ${issue.message}`];
  const value = shown(name, issue.input);
  if (issue.code === 'custom' || issue.code === 'invalid_format')
    return [`${where} (${source}): ${value} ${issue.message}`];
  const accepted = issue.path.length > 1 ? valuesText(schema.items ?? {}) : values;
  const isEmpty = issue.code === 'too_small' && (issue.origin === 'string' || issue.origin === 'array');
  return [`${where} (${source}): ${value} is not accepted; use ${accepted}${isEmpty ? ' that is not empty' : ''}`];
}

/**
 * Resolves the configuration; flags take precedence over environment variables, these over the file, and the file over defaults.
 * @throws ServeConfigError listing every problem: unknown keys and variables with the nearest known one, and invalid values with
 *   key, source and accepted values.
 */
export function resolveConfig(sources: ConfigSources): ResolvedConfig {
  const { env, file } = sources;
  const origins = new Map<string, string>();
  const raw: Record<string, unknown> = {};
  for (const key of configKeys()) {
    const found = lookUp(key, sources);
    origins.set(key.name, found?.[1] ?? 'default');
    if (found) raw[key.name] = found[0];
  }
  const strange = Object.entries(file?.content ?? {}).filter(([name]) => !origins.has(name));
  const result = serveConfigSchema.safeParse({ ...Object.fromEntries(strange), ...raw }, { reportInput: true });
  const problems = [
    ...unknownVariables(env),
    ...(result.error?.issues ?? []).flatMap((issue) => explain(issue, origins, file)),
  ];
  if (problems.length > 0 || !result.success) throw new ServeConfigError(problems);
  return { config: result.data, origins };
}
