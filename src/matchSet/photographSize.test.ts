import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wholePhotograph } from './photographSize.js';

test('the whole photograph in multiples of the stride, at least one', () => {
  const photograph = { width: 4000, height: 3000 };
  assert.deepEqual(wholePhotograph(photograph, { kind: 'longest', side: 1024 }, 32), {
    kind: 'fit',
    width: 1024,
    height: 768,
  });
  assert.deepEqual(wholePhotograph(photograph, { kind: 'shortest', side: 500 }, 32), {
    kind: 'fit',
    width: 672,
    height: 512,
  });
  assert.deepEqual(wholePhotograph({ width: 2000, height: 3 }, { kind: 'longest', side: 64 }, 32), {
    kind: 'fit',
    width: 64,
    height: 32,
  });
  assert.deepEqual(wholePhotograph(photograph, { kind: 'native' }, 32), { kind: 'native' });
});
