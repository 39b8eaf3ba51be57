import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from '../tensor/random.js';
import { runSync } from '../tensor/slices.js';
import { tensor } from '../tensor/tensor.js';
import { quantizeVectors } from './quantize.js';

test('no error exceeds half a scale, and the full range is used', () => {
  const random = stream(1, 'quantize');
  const [vectors, channels] = [200, 37];
  const data = Float32Array.from(
    { length: vectors * channels },
    (_, i) => random.normal() * 10 ** (Math.floor(i / channels) % 7),
  );
  const { elements, scales } = runSync(quantizeVectors(tensor('float32', [20, 10, channels], data)));
  assert.deepEqual(elements.shape, [20, 10, channels]);
  assert.equal(scales.length, vectors);
  for (const [i, value] of data.entries()) {
    const scale = scales[Math.floor(i / channels)]!;
    const error = Math.abs(elements.data[i]! * scale - value);
    assert.ok(error <= 0.5 * scale * (1 + 1e-5), `${value} became ${elements.data[i]} * ${scale}`);
  }
  for (let vector = 0; vector < vectors; vector++) {
    const own = elements.data.subarray(vector * channels, (vector + 1) * channels);
    assert.equal(Math.max(...own.map(Math.abs)), 127);
  }
});

test('zeros stay zeros', () => {
  const { elements, scales } = runSync(quantizeVectors(tensor('float32', [2, 2], Float32Array.of(0, 0, -3, 1))));
  assert.deepEqual([...elements.data], [0, 0, -127, 42]);
  assert.equal(scales[0], 0);
});
