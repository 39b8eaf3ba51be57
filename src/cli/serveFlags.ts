import { type Command, Option } from 'commander';
import { readConfigFile } from '../serve/config/configFile.js';
import { type ConfigKey, configKeys } from '../serve/config/keys.js';
import { type ResolvedConfig, resolveConfig } from '../serve/config/resolve.js';

/** The flags as parsed by commander: a string each, or several if the flag may be repeated. */
export type ServeFlags = Readonly<Record<string, string | readonly string[]>>;

const placeholders: Readonly<Record<string, string>> = {
  integer: 'n',
  number: 'n',
  boolean: 'true|false',
  array: 'value',
};

function optionOf({ name, flag, env, group, schema, values, description }: ConfigKey): Option | undefined {
  if (flag === undefined) return undefined;
  const placeholder = schema.enum ? 'choice' : (placeholders[schema.type ?? ''] ?? 'text');
  const standard = schema.default === undefined ? '' : `; default ${String(schema.default)}`;
  const repeated = schema.type === 'array' ? '; may be repeated' : '';
  const option = new Option(`${flag} <${placeholder}>`, `${description} (${values}${repeated}${standard}; ${env})`);
  option.attributeName = () => name;
  if (schema.type === 'array') {
    option.argParser<string[]>((text, before) => [...(before ?? []), text]);
  }
  return option.helpGroup(`${group}:`);
}

/** Adds a flag for every key of the service's configuration, and --config. */
export function addServeFlags(command: Command): Command {
  command.option(
    '--config <file>',
    'YAML or JSON file with the keys below in camelCase, such as queueImages (VICREGL_CONFIG)',
  );
  for (const key of configKeys()) {
    const option = optionOf(key);
    if (option) command.addOption(option);
  }
  return command.addHelpText('after', '\nPrecedence: flag, environment variable, configuration file, default.');
}

/** The configuration from flags, environment and file. @throws ServeConfigError listing every problem. */
export async function readServeConfig(flags: ServeFlags, env: NodeJS.ProcessEnv): Promise<ResolvedConfig> {
  const path = flags['config'] ?? (env['VICREGL_CONFIG'] || undefined);
  const file = typeof path === 'string' ? await readConfigFile(path) : undefined;
  return resolveConfig({ flags, env, file });
}
