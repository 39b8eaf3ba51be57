import assert from 'node:assert/strict';
import { test } from 'node:test';
import { float32Of } from '../client/tensor.js';
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

test('l2 gives vectors of length 1 in every type, a zero vector stays zero, and without it lengths are kept', () => {
  const value = tensor('float32', [3, 2], Float32Array.of(3, 4, 0, 0, 0, -0.5));
  const expected = { true: [0.6, 0.8, 0, 0, 0, -1], false: [3, 4, 0, 0, 0, -0.5] };
  for (const [dtype, error] of [
    ['float32', 1e-7],
    ['float16', 2 ** -11],
    // Half a step of the largest element, 1 / 127 or 4 / 127 of it.
    ['int8', 0.5 / 127],
  ] as const) {
    for (const l2 of [true, false]) {
      const found = float32Of(encodeVectors(value, { dtype, l2 }));
      for (const [i, right] of expected[`${l2}`].entries()) {
        const allowed = error * (l2 ? 1 : 4);
        assert.ok(Math.abs(found[i]! - right) <= allowed, `${dtype}, l2 ${l2}: element ${i} is ${found[i]}`);
      }
    }
  }
});
