import { z } from 'zod';
import { resultSchema } from '../../src/evaluate/result/schema.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The table of the keys of results in docs/evaluation.md, made from the schema that reads them. */

/** The parts of JSON Schema that zod writes for results. */
interface ResultJsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: ResultJsonSchema | false;
  readonly prefixItems?: readonly ResultJsonSchema[];
  readonly properties?: Readonly<Record<string, ResultJsonSchema>>;
  readonly additionalProperties?: ResultJsonSchema | false;
  readonly required?: readonly string[];
  readonly description?: string;
}

const TYPE_NAMES: Readonly<Record<string, string>> = { integer: 'whole number', string: 'text', array: 'list' };

const grouped = (text: string): string => (/^\w+$/.test(text) || text.startsWith('[') ? text : `(${text})`);

/** What a value looks like, in words. */
function typeText(schema: ResultJsonSchema): string {
  const { type, enum: literals, items, prefixItems, properties, additionalProperties } = schema;
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (literals !== undefined) return literals.map((literal) => `\`${literal}\``).join(', ');
  if (prefixItems !== undefined) return `[${prefixItems.map(typeText).join(', ')}]`;
  if (items) return items.properties ? 'list of objects' : `list of ${grouped(typeText(items))}`;
  if (properties !== undefined) return 'object';
  // A key that refers to any JSON has no type.
  if (additionalProperties)
    return additionalProperties.type ? `object of ${grouped(typeText(additionalProperties))}` : 'object';
  return [type ?? []]
    .flat()
    .map((name) => TYPE_NAMES[name] ?? name)
    .join(' or ');
}

/** Rows of a key and of those within it. */
function rowsOf(schema: ResultJsonSchema, prefix = ''): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const inner = property.items || property;
    const key = `${prefix}${name}${property.items && inner.properties ? '[]' : ''}`;
    const nested = inner.properties ? rowsOf(inner, `${key}.`) : [];
    const { description } = property;
    if (description === undefined) {
      // What a group holds says enough.
      if (nested.length > 0) return nested;
      throw new Error(`${key} has no description in src/evaluate/result/schema.ts`);
    }
    const isOptional = !schema.required?.includes(name);
    return [[`\`${key}\``, `${typeText(property)}${isOptional ? ', optional' : ''}`, description], ...nested];
  });
}

/** docs/evaluation.md with the table between its two markers. @throws Error where the markers are missing. */
export function withResultTable(document: string): string {
  const schema = z.toJSONSchema(resultSchema, { io: 'input' }) as ResultJsonSchema;
  return withGenerated(document, 'result format', markdownTable(['key', 'value', 'meaning'], rowsOf(schema)));
}
