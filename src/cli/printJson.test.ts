import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readableJson } from './printJson.js';

it('arrays of numbers stand on one line, and strings are not changed', () => {
  const value = { shape: [1, 2.5, -3e-7], out: 'x[1   2].npy', 'key [1   2]': ['"[1   2]"'] };
  const text = readableJson(value);
  assert.ok(text.includes('"shape": [ 1, 2.5, -3e-7 ]'), text);
  assert.deepEqual(JSON.parse(text), value);
});

it('control characters are escaped, which JSON alone does for some of them', () => {
  const value = { name: 'a\u009b31m\u001b\u202e', lines: 'b\nc' };
  const text = readableJson(value);
  assert.match(text, /"a\\u009b31m\\u001b\\u202e"/);
  assert.deepEqual(JSON.parse(text), value);
});
