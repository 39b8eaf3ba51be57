import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameAt, packNames } from './nameTable.js';

test('names of any script and length are unchanged after a round trip', () => {
  const names = ['a/b.jpg', '', 'Größe/日本語/🦊.png', '\uFEFFmarked.jpg', 'x'.repeat(5000), 'z'];
  const table = packNames(names);
  assert.deepEqual(
    names.map((_, i) => nameAt(table, i)),
    names,
  );
  assert.equal(
    table.bytes.length,
    names.reduce((sum, name) => sum + Buffer.byteLength(name), 0),
  );
  assert.deepEqual(packNames([]).ends.length, 0);
});
