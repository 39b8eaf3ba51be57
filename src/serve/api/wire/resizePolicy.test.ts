import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest } from '../../../models/manifest.js';
import { mostInputBytes, readResizePolicy } from './resizePolicy.js';

const preprocessing = { resize: 256, crop: 224 } as Manifest['preprocessing'];
const nothing = { native: null, crop: null };

test('a shortest side without a crop takes the model’s own, or what fits a smaller side', () => {
  for (const [resize, expected] of [
    [0, { resize: 256, crop: 224 }],
    [512, { resize: 512, crop: 224 }],
    [224, { resize: 224, crop: 224 }],
    [150, { resize: 150, crop: 128 }],
    [128, { resize: 128, crop: 128 }],
    [20, { resize: 20, crop: 32 }],
  ] as const) {
    const policy = readResizePolicy({ ...nothing, shortestSide: { resize, crop: 0 } }, { preprocessing, stride: 32 });
    assert.deepEqual(policy, { kind: 'shortestSide', ...expected });
  }
});

test('a crop that is asked for is kept', () => {
  assert.deepEqual(
    readResizePolicy({ ...nothing, shortestSide: { resize: 0, crop: 96 } }, { preprocessing, stride: 32 }),
    { kind: 'shortestSide', resize: 256, crop: 96 },
  );
});

test('the bytes of a network input are known before its image is, but for native, which may come to the limit', () => {
  const limits = { maxOutputPixels: 600 * 600 };
  const most = (image: Parameters<typeof readResizePolicy>[0]) =>
    mostInputBytes(image, { preprocessing, stride: 32 }, limits);
  assert.equal(most({ crop: null }), 3 * 224 * 224);
  assert.equal(most({ crop: null, shortestSide: { resize: 512, crop: 448 } }), 3 * 448 * 448);
  assert.equal(most({ crop: null, fit: { width: 320, height: 64 } }), 3 * 320 * 64);
  assert.equal(most({ crop: null, native: {} }), 3 * 600 * 600);
  assert.equal(most({ crop: null, fit: { width: 2 ** 31, height: 2 ** 31 } }), 3 * 600 * 600, 'it is refused later');
});
