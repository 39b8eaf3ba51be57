import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { generatedFiles } from '../../scripts/deploy/generatedFiles.js';

for (const [path, text] of await generatedFiles()) {
  test(`${path} is what scripts/deploy/writeDeploy.ts writes`, async () => {
    assert.equal(await readFile(path, 'utf8'), text);
  });
}
