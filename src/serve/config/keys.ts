import { z } from 'zod';
import { keyGroups, serveConfigSchema } from './schema.js';
import { type JsonSchema, valuesText } from './valuesText.js';

/** A key of the configuration, with its names as a flag and as an environment variable. */
export interface ConfigKey {
  readonly name: string;
  readonly group: string;
  /** Such as --queue-images; absent for keys that are allowed only in a file. */
  readonly flag: string | undefined;
  /** Such as VICREGL_QUEUE_IMAGES; absent for keys that are allowed only in a file. */
  readonly env: string | undefined;
  readonly schema: JsonSchema;
  /** Description of the accepted values. */
  readonly values: string;
  readonly description: string;
}

const words = (name: string): string[] => name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());

function describeKeys(): ConfigKey[] {
  const { properties } = z.toJSONSchema(serveConfigSchema, { io: 'input' }) as JsonSchema;
  const groupOf = new Map(
    Object.entries(keyGroups).flatMap(([group, keys]) => Object.keys(keys).map((name) => [name, group] as const)),
  );
  return Object.entries(properties ?? {}).map(([name, schema]) => {
    if (schema.description === undefined) throw new Error(`${name} has no description in src/serve/config`);
    const fileOnly = schema.items?.type === 'object';
    return {
      name,
      group: groupOf.get(name)!,
      flag: fileOnly ? undefined : `--${words(name).join('-')}`,
      env: fileOnly ? undefined : `VICREGL_${words(name).join('_').toUpperCase()}`,
      schema,
      values: fileOnly ? 'list of groups' : valuesText(schema),
      description: schema.description,
    };
  });
}

let described: readonly ConfigKey[] | undefined;

/** All keys in the order of the schema. */
export function configKeys(): readonly ConfigKey[] {
  described ??= describeKeys();
  return described;
}
