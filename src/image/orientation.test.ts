import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from './decode.js';
import { readStoredImage, storedSize, uprightToStored } from './orientation.js';

test('each pixel of the upright image is found in the stored pixels, for all eight orientations', async () => {
  const stored = { width: 5, height: 3 };
  // Every pixel has a colour of its own.
  const pixels = Buffer.from(Array.from({ length: 15 }, (_, i) => [i * 16, 255 - i * 16, i]).flat());
  for (let orientation = 1; orientation <= 8; orientation++) {
    const file = await sharp(pixels, { raw: { ...stored, channels: 3 } })
      .tiff({ compression: 'none' })
      .withMetadata({ orientation })
      .toBuffer();
    const image = await readStoredImage(file);
    assert.equal(image.orientation, orientation);
    assert.deepEqual(storedSize(image), stored);
    const upright = await decodeImage(file);
    assert.deepEqual(image.upright, { width: upright.width, height: upright.height });
    const [a, b, c, d, e, f] = uprightToStored(image) as [number, number, number, number, number, number];
    for (let row = 0; row < upright.height; row++) {
      for (let column = 0; column < upright.width; column++) {
        const x = Math.floor(a * (column + 0.5) + b * (row + 0.5) + c);
        const y = Math.floor(d * (column + 0.5) + e * (row + 0.5) + f);
        const from = (y * stored.width + x) * 3;
        const at = (row * upright.width + column) * 3;
        assert.deepEqual(
          [...upright.data.subarray(at, at + 3)],
          [...pixels.subarray(from, from + 3)],
          `orientation ${orientation}, row ${row}, column ${column}`,
        );
      }
    }
  }
});

test('a file that is no image is an error', async () => {
  await assert.rejects(readStoredImage(Buffer.from('no image')), { code: 'unsupported_format' });
});
