import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';
import { manifestJsonSchema } from './manifestJsonSchema.js';

it('models/manifest.schema.json is the schema of this version', async () => {
  const published = JSON.parse(await readFile('models/manifest.schema.json', 'utf8'));
  assert.deepEqual(published, JSON.parse(JSON.stringify(manifestJsonSchema())));
});
