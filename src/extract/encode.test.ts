import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tensor } from '../tensor/tensor.js';
import { encodeVectors } from './encode.js';

test('a number that float16 cannot hold is an error with the way out, unless it is normalised or sent as another type', () => {
  const value = tensor('float32', [2, 2], Float32Array.of(1, -65_504, 3, 70_000));
  assert.throws(() => encodeVectors(value, { dtype: 'float16', l2: false }), {
    name: 'RangeError',
    message: 'dtype: element 3 is 70000, and float16 reaches 65504; use --dtype float32 or int8, or --l2',
  });
  for (const [dtype, l2] of [
    ['float16', true],
    ['float32', false],
    ['int8', false],
  ] as const) {
    assert.equal(encodeVectors(value, { dtype, l2 }).dtype, dtype);
  }
});
