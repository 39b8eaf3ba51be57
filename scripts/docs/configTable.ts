import { z } from 'zod';
import { type JsonSchema, valuesText } from '../../src/serve/config/valuesText.js';
import { trainConfigSchema } from '../../src/train/config.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The table of configuration keys in docs/training.md, generated from the schema of the configuration. */

interface Row {
  readonly key: string;
  readonly values: string;
  readonly defaultValue: string;
  readonly description: string;
}

function rowsOf(schema: JsonSchema, prefix = ''): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const key = prefix + name;
    if (property.properties) return rowsOf(property, `${key}.`);
    if (property.description === undefined) throw new Error(`${key} has no description in src/train/config.ts`);
    const defaultValue =
      property.default !== undefined
        ? `\`${JSON.stringify(property.default)}\``
        : schema.required?.includes(name)
          ? 'required'
          : '';
    return [
      {
        key,
        values: valuesText(property, (literal) => `\`${literal}\``),
        defaultValue,
        description: property.description,
      },
    ];
  });
}

/**
 * All keys as a Markdown table, in the order of the schema.
 * @throws Error with the key, if a key has no description.
 */
function configTable(): string {
  const rows = rowsOf(z.toJSONSchema(trainConfigSchema, { io: 'input' }) as JsonSchema);
  return markdownTable(
    ['key', 'values', 'default', 'meaning'],
    rows.map(({ key, values, defaultValue, description }) => [`\`${key}\``, values, defaultValue, description]),
  );
}

/** docs/training.md with the table between its two markers. @throws Error if the markers are missing. */
export function withConfigTable(document: string): string {
  return withGenerated(document, 'configuration keys', configTable());
}
