import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { restrictLoaders, withSvg } from './loaders.js';

const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>');
const ppm = Buffer.from('P6 1 1 255\n\x01\x02\x03');
const png = () => sharp(new Uint8Array(12), { raw: { width: 2, height: 2, channels: 3 } }).png();
const reads = (bytes: Buffer) =>
  sharp(bytes)
    .raw()
    .toBuffer()
    .then(
      () => true,
      () => false,
    );

// The restriction holds for the whole process: these tests need one of their own.
test('after the restriction no code can load another format', async () => {
  assert.equal(await reads(svg), true, 'libvips itself could');
  assert.equal(await withSvg(() => reads(svg)), true);
  restrictLoaders();
  assert.equal(await reads(svg), false);
  assert.equal(await reads(ppm), false);
  assert.equal(await reads(await png().toBuffer()), true);
});

test('SVG can be rendered inside withSvg and not after it, also when the work fails', async () => {
  assert.equal(await withSvg(() => reads(svg)), true);
  assert.equal(await reads(svg), false);
  await assert.rejects(
    withSvg(async () => {
      throw new Error('out of paper');
    }),
    /out of paper/,
  );
  assert.equal(await reads(svg), false);
});
