import { z } from 'zod';
import { trainConfigSchema } from '../../src/train/config.js';

/** The table of configuration keys in docs/training.md, made from the schema that reads the configuration. */

/** The parts of a JSON Schema that zod writes for configurations. */
interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

interface Row {
  readonly key: string;
  readonly values: string;
  readonly standard: string;
  readonly description: string;
}

/** Bounds of a number as an inequality; zod's bounds of whole numbers, those of safe integers, say nothing. */
function bounds({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Schema): string {
  const parts = [
    minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && `>= ${minimum}`,
    exclusiveMinimum !== undefined && `> ${exclusiveMinimum}`,
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `<= ${maximum}`,
    exclusiveMaximum !== undefined && `< ${exclusiveMaximum}`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? '' : ` ${parts.join(', ')}`;
}

function valuesOf(schema: Schema): string {
  if (schema.anyOf) return schema.anyOf.map(valuesOf).join(' or ');
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (schema.prefixItems) return `list of ${schema.prefixItems.map(valuesOf).join(' and ')}`;
  if (schema.type === 'array') return `list of ${valuesOf(schema.items ?? {})}`;
  const names: Readonly<Record<string, string>> = {
    integer: 'whole number',
    number: 'number',
    boolean: '`true`, `false`',
    string: 'text',
  };
  return `${names[schema.type ?? ''] ?? schema.type}${bounds(schema)}`;
}

function rowsOf(schema: Schema, prefix = ''): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const key = prefix + name;
    if (property.properties) return rowsOf(property, `${key}.`);
    if (property.description === undefined) throw new Error(`${key} has no description in src/train/config.ts`);
    const standard =
      property.default !== undefined
        ? `\`${JSON.stringify(property.default)}\``
        : schema.required?.includes(name)
          ? 'required'
          : '';
    return [{ key, values: valuesOf(property), standard, description: property.description }];
  });
}

/**
 * All keys as a Markdown table, in the order of the schema.
 * @throws Error naming a key without a description.
 */
export function configTable(): string {
  const rows = rowsOf(z.toJSONSchema(trainConfigSchema, { io: 'input' }) as Schema);
  const cell = (text: string) => text.replaceAll('|', '\\|');
  return [
    '| key | values | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rows.map((row) => `| \`${row.key}\` | ${cell(row.values)} | ${row.standard} | ${cell(row.description)} |`),
  ].join('\n');
}

const BEGIN = '<!-- configuration keys: begin (npm run docs) -->';
const END = '<!-- configuration keys: end -->';

/**
 * A document with the table between its two markers.
 * @throws Error where the markers are missing.
 */
export function withConfigTable(document: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the document lacks the lines ${BEGIN} and ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${configTable()}\n\n${document.slice(end)}`;
}
