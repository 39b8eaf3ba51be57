import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSync } from '../tensor/slices.js';
import { tensor } from '../tensor/tensor.js';
import { l2Normalize } from './l2Normalize.js';

test('each vector is scaled to length 1, and a zero vector stays zero', () => {
  const scaled = runSync(l2Normalize(tensor('float32', [3, 2], Float32Array.of(3, 4, 0, 0, -2, 0))));
  assert.deepEqual([...scaled.data], [...Float32Array.of(0.6, 0.8, 0, 0, -1, 0)]);
  assert.deepEqual(scaled.shape, [3, 2]);
});
