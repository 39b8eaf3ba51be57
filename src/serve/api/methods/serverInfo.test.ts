import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { keyGroups } from '../../config/schema.js';
import { defaultServeLimits } from '../../config/serveLimits.js';
import { limitList } from './serverInfo.js';

const snakeCase = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const named = new Set(limitList(defaultServeLimits, { provider: 'cpu' }).map(({ name }) => name));

test('GetServerInfo has exactly the limits of the group Limits', () => {
  assert.deepEqual([...named].sort(), Object.keys(keyGroups.Limits).map(snakeCase).sort());
});

test('GetServerInfo returns every limit whose excess the documentation describes', async () => {
  const docs = await readFile(new URL('../../../../../docs/service/reference.md', import.meta.url), 'utf8');
  const table = docs.slice(docs.indexOf('Beyond a limit:')).split('\n\n')[1]!;
  const keys = table.split('\n').flatMap((row) => [...row.split('|')[1]!.matchAll(/`(\w+)`/g)].map(([, key]) => key!));
  assert.ok(keys.length > 20, table);
  assert.deepEqual(
    keys.filter((key) => !named.has(snakeCase(key))),
    [],
  );
});
