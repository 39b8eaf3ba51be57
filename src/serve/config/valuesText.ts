/** Describes the values that a schema accepts: for --help, errors and the tables in docs/. */

/** The parts of JSON Schema that zod emits for configurations. */
export interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly prefixItems?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** Bounds of a number as inequalities, without zod's default bounds of whole numbers (safe integers). */
function bounds({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): string {
  const parts = [
    minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && `>= ${minimum}`,
    exclusiveMinimum !== undefined && `> ${exclusiveMinimum}`,
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `<= ${maximum}`,
    exclusiveMaximum !== undefined && `< ${exclusiveMaximum}`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? '' : ` ${parts.join(', ')}`;
}

const typeNames: Readonly<Record<string, string>> = {
  integer: 'whole number',
  number: 'number',
  string: 'text',
  object: 'group',
};

/** @param quote formats a literal value, for example in backticks */
export function valuesText(schema: JsonSchema, quote: (literal: string) => string = (text) => text): string {
  const inner = (part: JsonSchema) => valuesText(part, quote);
  if (schema.anyOf) return schema.anyOf.map(inner).join(' or ');
  if (schema.enum) return schema.enum.map((value) => quote(String(value))).join(', ');
  if (schema.prefixItems) return `list of ${schema.prefixItems.map(inner).join(' and ')}`;
  if (schema.type === 'array') return `list of ${inner(schema.items ?? {})}`;
  if (schema.type === 'boolean') return ['true', 'false'].map(quote).join(', ');
  return `${typeNames[schema.type ?? ''] ?? schema.type}${bounds(schema)}`;
}
