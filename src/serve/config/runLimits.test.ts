import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchSizes, batchSizesFor, runLimits } from './runLimits.js';

test('configured limits apply, and pixels follow the images', () => {
  assert.deepEqual(runLimits({ batchImages: 3 }, { provider: 'cuda' }), {
    batchImages: 3,
    batchPixels: 3 * 224 * 224,
  });
  assert.deepEqual(runLimits({ batchImages: 3, batchPixels: 9999 }, { provider: 'cpu' }), {
    batchImages: 3,
    batchPixels: 9999,
  });
});

test('by default a GPU runs larger batches than the CPU, of images of the usual size', () => {
  const [cpu, cuda] = (['cpu', 'cuda'] as const).map((provider) => runLimits({}, { provider }));
  assert.ok(cuda!.batchImages > cpu!.batchImages, `${cuda!.batchImages} and ${cpu!.batchImages}`);
  for (const { batchImages, batchPixels } of [cpu!, cuda!]) assert.equal(batchPixels, batchImages * 224 * 224);
});

test('an engine is warmed up for powers of two up to the largest batch', () => {
  assert.deepEqual(batchSizes(6), [1, 2, 4, 6]);
  assert.deepEqual(batchSizes(1), [1]);
});

test('for large images an engine is warmed up to the padded size of their largest batch', () => {
  const run = { batchImages: 16, batchPixels: 16 * 224 * 224 };
  assert.deepEqual(batchSizesFor(run, 224 * 224), [1, 2, 4, 8, 16]);
  assert.deepEqual(batchSizesFor(run, 448 * 448), [1, 2, 4]);
  assert.deepEqual(batchSizesFor(run, 512 * 512), [1, 2, 4], 'three, padded to four');
  assert.deepEqual(batchSizesFor(run, 2048 * 2048), [1], 'one larger than the limit runs alone');
  assert.deepEqual(batchSizesFor(run, 64 * 64), [1, 2, 4, 8, 16]);
});
