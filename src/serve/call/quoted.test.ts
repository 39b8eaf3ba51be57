import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quoted } from './quoted.js';

test('a text is quoted in one line, and a long one is cut', () => {
  assert.equal(quoted('a\n"b"'), '"a\\n\\"b\\""');
  assert.equal(quoted('x'.repeat(1_000_000)), `"${'x'.repeat(100)}"`);
  assert.equal(quoted('abcdef', 3), '"abc"');
});
