import assert from 'node:assert/strict';
import { it } from 'node:test';
import { evaluate, numbers } from '../../test/support/graphs.js';
import { tensor } from '../tensor/tensor.js';
import { normalisePixels } from './pixels.js';

it('normalisePixels maps bytes to (x / 255 - mean) / std of each channel', async () => {
  const bytes = Uint8Array.of(0, 0, 0, 255, 255, 255, 124, 116, 104);
  const { y } = await evaluate((feed) => ({ y: normalisePixels(feed(tensor('uint8', [1, 1, 3, 3], bytes))) }));
  const [mean, std] = [
    [0.485, 0.456, 0.406],
    [0.229, 0.224, 0.225],
  ];
  assert.equal(y.dtype, 'float32');
  numbers(y).forEach((value, i) => {
    assert.ok(Math.abs(value - (bytes[i]! / 255 - mean[i % 3]!) / std[i % 3]!) < 1e-6);
  });
});
