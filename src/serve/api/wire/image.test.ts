import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { scopedQueueOf, sharedParts } from '../../../../test/support/serveContext.js';
import { tinyManifest } from '../../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../../engine/fakeEngine.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import { defaultServeLimits } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { readImage } from './image.js';

const engine = createFakeEngine({ manifest: { ...tinyManifest, files: {} } });
const context: ServeContext = {
  engine,
  queue: scopedQueueOf(engine),
  limits: defaultServeLimits,
  ...sharedParts(),
};

test('the encoded file is let go once it is decoded', async () => {
  const encoded = await sharp(new Uint8Array(64 * 64 * 3), { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toBuffer();
  const image: Image__Output = { encoded, source: 'encoded', crop: null };
  const call = { signal: new AbortController().signal, observe: () => {} };
  const prepared = await readImage(context, image, 'image', call);
  assert.deepEqual([prepared.image.width, prepared.image.height], [56, 56]);
  assert.equal(image.encoded, undefined);
});
