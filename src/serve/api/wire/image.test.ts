import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { scopedQueueOf, sharedParts } from '../../../../test/support/serveContext.js';
import { tinyManifest } from '../../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../../engine/fakeEngine.js';
import type { Manifest } from '../../../models/manifest.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import { defaultServeLimits } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { maxInputBytes, readImage, readResizePolicy } from './image.js';

const engine = createFakeEngine({ manifest: { ...tinyManifest, files: {} } });
const context: ServeContext = {
  engine,
  queue: scopedQueueOf(engine),
  limits: defaultServeLimits,
  ...sharedParts(),
};

test('the encoded file is released once it is decoded', async () => {
  const encoded = await sharp(new Uint8Array(64 * 64 * 3), { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toBuffer();
  const image: Image__Output = { encoded, source: 'encoded', crop: null };
  const call = { signal: new AbortController().signal, observe: () => {} };
  const prepared = await readImage(context, image, 'image', call);
  assert.deepEqual([prepared.image.width, prepared.image.height], [56, 56]);
  assert.equal(image.encoded, undefined);
});

const preprocessing = { resize: 256, crop: 224 } as Manifest['preprocessing'];
const nothing = { native: null, crop: null };

test('a shortest side without a crop uses the model’s own, or one that fits a smaller side', () => {
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

test('a requested crop is kept', () => {
  assert.deepEqual(
    readResizePolicy({ ...nothing, shortestSide: { resize: 0, crop: 96 } }, { preprocessing, stride: 32 }),
    { kind: 'shortestSide', resize: 256, crop: 96 },
  );
});

test('the bytes of a network input are known before decoding, except for native, which counts as the limit', () => {
  const limits = { inputPixels: 600 * 600 };
  const maxBytes = (image: Parameters<typeof readResizePolicy>[0]) =>
    maxInputBytes(image, { preprocessing, stride: 32 }, limits);
  assert.equal(maxBytes({ crop: null }), 3 * 224 * 224);
  assert.equal(maxBytes({ crop: null, shortestSide: { resize: 512, crop: 448 } }), 3 * 448 * 448);
  assert.equal(maxBytes({ crop: null, fit: { width: 320, height: 64 } }), 3 * 320 * 64);
  assert.equal(maxBytes({ crop: null, native: {} }), 3 * 600 * 600);
  assert.equal(
    maxBytes({ crop: null, fit: { width: 2 ** 31, height: 2 ** 31 } }),
    3 * 600 * 600,
    'it is rejected later',
  );
});
