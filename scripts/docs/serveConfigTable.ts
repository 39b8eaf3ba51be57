import { configKeys } from '../../src/serve/config/keys.js';
import { tokenSchema } from '../../src/serve/config/securityKeys.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The tables of the service's configuration in docs/service/reference.md, generated from its schema. */

/** One table of keys for each subject. The environment variable of a key follows from its flag. */
function keyTables(): string {
  const keys = configKeys();
  const groups = [...new Set(keys.map(({ group }) => group))];
  return groups
    .map((group) => {
      const rows = keys
        .filter((key) => key.group === group)
        .map(({ name, flag, values, schema, description }) => {
          const defaultValue = schema.default === undefined ? '' : `\`${String(schema.default)}\``;
          const flagText = flag === undefined ? 'in a file only' : `\`${flag}\``;
          return [`\`${name}\``, flagText, values, defaultValue, description];
        });
      return `${group}:\n\n${markdownTable(['key', 'flag', 'values', 'default', 'meaning'], rows)}`;
    })
    .join('\n\n');
}

/** The table of the keys of one token. */
function tokenTable(): string {
  return markdownTable(
    ['key of a token', 'meaning'],
    Object.entries(tokenSchema.shape).map(([name, { description }]) => [`\`${name}\``, description ?? '']),
  );
}

/** docs/service/reference.md with the tables between their two markers. @throws Error if the markers are missing. */
export function withServeConfigTable(document: string): string {
  return withGenerated(document, 'service configuration', `${keyTables()}\n\n${tokenTable()}`);
}
