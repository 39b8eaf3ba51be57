import { configKeys } from '../../src/serve/config/keys.js';
import { tokenSchema } from '../../src/serve/config/securityKeys.js';
import { withGenerated } from './generatedPart.js';

/** The tables of the service's configuration in docs/service/reference.md, made from the schema that reads it. */

const cell = (text: string): string => text.replaceAll('|', '\\|');

/** All keys by subject; the variable of a key follows from its flag. */
function keyTables(): string {
  const keys = configKeys();
  const groups = [...new Set(keys.map(({ group }) => group))];
  return groups
    .map((group) =>
      [
        `${group}:`,
        '',
        '| key | flag | values | default | meaning |',
        '| --- | --- | --- | --- | --- |',
        ...keys
          .filter((key) => key.group === group)
          .map(({ name, flag, values, schema, description }) => {
            const standard = schema.default === undefined ? '' : `\`${String(schema.default)}\``;
            const written = flag === undefined ? 'in a file only' : `\`${flag}\``;
            return `| \`${name}\` | ${written} | ${cell(values)} | ${standard} | ${cell(description)} |`;
          }),
      ].join('\n'),
    )
    .join('\n\n');
}

/** The keys of one entry of a list of tokens. */
function tokenTable(): string {
  return [
    '| key of a token | meaning |',
    '| --- | --- |',
    ...Object.entries(tokenSchema.shape).map(
      ([name, { description }]) => `| \`${name}\` | ${cell(description ?? '')} |`,
    ),
  ].join('\n');
}

/** docs/service/reference.md with the tables between their two markers. @throws Error where the markers are missing. */
export function withServeConfigTable(document: string): string {
  return withGenerated(document, 'service configuration', `${keyTables()}\n\n${tokenTable()}`);
}
