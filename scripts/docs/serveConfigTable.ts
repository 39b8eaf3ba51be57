import { configKeys } from '../../src/serve/config/keys.js';
import { tokenSchema } from '../../src/serve/config/securityKeys.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The tables of the service's configuration in docs/service/reference.md, made from the schema that reads it. */

/** All keys by subject; the variable of a key follows from its flag. */
function keyTables(): string {
  const keys = configKeys();
  const groups = [...new Set(keys.map(({ group }) => group))];
  return groups
    .map((group) => {
      const rows = keys
        .filter((key) => key.group === group)
        .map(({ name, flag, values, schema, description }) => {
          const standard = schema.default === undefined ? '' : `\`${String(schema.default)}\``;
          const written = flag === undefined ? 'in a file only' : `\`${flag}\``;
          return [`\`${name}\``, written, values, standard, description];
        });
      return `${group}:\n\n${markdownTable(['key', 'flag', 'values', 'default', 'meaning'], rows)}`;
    })
    .join('\n\n');
}

/** The keys of one entry of a list of tokens. */
function tokenTable(): string {
  return markdownTable(
    ['key of a token', 'meaning'],
    Object.entries(tokenSchema.shape).map(([name, { description }]) => [`\`${name}\``, description ?? '']),
  );
}

/** docs/service/reference.md with the tables between their two markers. @throws Error where the markers are missing. */
export function withServeConfigTable(document: string): string {
  return withGenerated(document, 'service configuration', `${keyTables()}\n\n${tokenTable()}`);
}
