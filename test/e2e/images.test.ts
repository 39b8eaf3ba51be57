import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import sharp from 'sharp';
import { type Client, createClient } from '../../src/client/index.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { failsWith } from '../support/failsWith.js';
import { GREY, PALETTE, pngChunk, RGB, writePng } from '../support/png.js';
import { writeTiff } from '../support/tiff.js';
import { withTinyModel } from '../support/tinyModel.js';

/** Answers of the service to image files, over a socket. */

const fixture = (name: string) => readFile(new URL(`../../../test/fixtures/${name}`, import.meta.url));
const photo = await fixture('photos/coffee.jpg');
const raw = await sharp(photo).raw().toBuffer();

describe('image files over a socket', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let server: RunningServer;
  let client: Client;
  before(async () => {
    model = await withTinyModel();
    server = await createServer({
      models: [{ engine: await createOnnxEngine(model.folder, { device: 'cpu', threads: 1 }) }],
      logger: pino({ level: 'silent' }),
      address: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      limits: defaultServeLimits,
    });
    client = createClient({ address: server.address, deadlineMs: 60_000 });
  });
  after(async () => {
    await client.close();
    await server.close();
    await model.remove();
  });

  const size = { width: 32, height: 24 };
  const pixels = (bytes: number) => Buffer.alloc(size.width * size.height * bytes);
  const refusals: Record<string, [() => Promise<Buffer> | Buffer, string, RegExp]> = {
    'half of a JPEG with an end marker': [
      () => fixture('images/cases/half_EOI_astronaut.jpg'),
      'IMAGE_CORRUPT',
      /^image: JPEG is damaged: it has no more data near row 272 of 512; check that it was transferred completely$/,
    ],
    'a JPEG with a hole': [
      () => fixture('images/cases/64_astronaut.jpg'),
      'IMAGE_CORRUPT',
      /^image: JPEG is damaged: /,
    ],
    'a PNG cut in its pixels': [
      async () => (await fixture('images/eight-bit.png')).subarray(0, 9000),
      'IMAGE_CORRUPT',
      /^image: PNG is damaged: chunk IDAT at byte 33 ends at byte 14138, after the end of the file \(9000 bytes\)/,
    ],
    'a GIF cut in its first frame': [
      async () => (await fixture('images/still.gif')).subarray(0, 4000),
      'IMAGE_CORRUPT',
      /^image: GIF is damaged: its first frame has \d+ of 7600 pixels, where it ends at byte 4000/,
    ],
    'a WebP that is cut': [
      async () => (await fixture('images/lossy.webp')).subarray(0, 1000),
      'IMAGE_CORRUPT',
      /^image: WebP is damaged: it should have 1722 bytes but has 1000/,
    ],
    'a TIFF of floats': [
      () => writeTiff(pixels(4), { ...size, bits: 32, format: 3 }),
      'IMAGE_UNSUPPORTED_FORMAT',
      /^image: image is a TIFF of 32-bit floating point, .*scale it to 8 or 16 bits/,
    ],
    'a TIFF in CIELab': [
      () => writeTiff(pixels(3), { ...size, samples: 3, photometric: 8 }),
      'IMAGE_UNSUPPORTED_FORMAT',
      /^image: image is a TIFF in CIELab, which is not supported; convert it to sRGB/,
    ],
    'a photograph of an iPhone': [
      () => Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1'),
      'IMAGE_UNSUPPORTED_FORMAT',
      /^image: image is a HEIC file, which is not supported; convert it to JPEG \(an iPhone takes JPEG with Settings/,
    ],
    'base64 that was not decoded': [
      () => Buffer.from(photo.toString('base64')),
      'IMAGE_UNSUPPORTED_FORMAT',
      /^image: image is base64 text of a JPEG file, which is not supported; decode the text and send the bytes/,
    ],
    'an error page': [
      () => Buffer.from('<!DOCTYPE html><html><body>404</body></html>'),
      'IMAGE_UNSUPPORTED_FORMAT',
      /^image: image is an HTML page/,
    ],
  };
  for (const [name, [make, reason, message]] of Object.entries(refusals)) {
    test(`${name}: INVALID_ARGUMENT from every method that takes an image`, async () => {
      const image = await make();
      await assert.rejects(client.embed(image), failsWith('INVALID_ARGUMENT', message, reason));
      await assert.rejects(client.features(image), failsWith('INVALID_ARGUMENT', message, reason));
      const [result] = await client.embedBatch([image]);
      assert.equal(result!.status, 'rejected');
      if (result!.status === 'rejected') failsWith('INVALID_ARGUMENT', message, reason)(result!.reason);
    });
  }

  test('a JPEG that lacks only its end marker has the same vector as the complete file', async () => {
    const image = await fixture('images/cases/trunc_2.jpg');
    const whole = Buffer.concat([image, Buffer.from([0xff, 0xd9])]);
    assert.deepEqual((await client.embed(image)).vector, (await client.embed(whole)).vector);
  });

  test('a GIF with a small frame has the same vector as that frame on white', async () => {
    const image = await fixture('images/cases/offset.gif');
    const { data } = await sharp(image).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const rgb = Uint8Array.from(data, (value, i) => {
      const [x, y] = [Math.floor(i / 3) % 320, Math.floor(i / 960)];
      return x >= 80 && x < 240 && y >= 56 && y < 168 ? value : 255;
    });
    const expected = await client.embed({ width: 320, height: 224, rgb });
    assert.deepEqual((await client.embed(image)).vector, expected.vector);
  });

  test('a BigTIFF has the same vector as its pixels', async () => {
    const image = writeTiff(raw, { width: 600, height: 400, samples: 3, big: true });
    const expected = await client.embed({ width: 600, height: 400, rgb: raw });
    assert.deepEqual((await client.embed(image)).vector, expected.vector);
  });

  test('PNG masks of every bit depth, with a palette or a profile, pool like the bitmap of their values', async () => {
    const [width, height] = [600, 400];
    const inside = Uint8Array.from({ length: width * height }, (_, i) => Number(i % width < 211 && i > 50 * width));
    const header = (bits: number, colour: number) => ({ width, height, bits, colour });
    const gamma = pngChunk('gAMA', Buffer.of(0, 0, 39, 16));
    const white = pngChunk('PLTE', Buffer.of(255, 255, 255, 0, 0, 0));
    const masks = [
      ...[1, 2, 4, 8, 16].map((bits) => writePng(header(bits, GREY), inside, [gamma])),
      ...[1, 2, 4, 8].map((bits) => writePng(header(bits, PALETTE), inside, [white])),
    ];
    const pooling = [{ bitmap: { width, height, data: inside } }, ...masks.map((png) => ({ png }))];
    const { data, shape } = await client.features(photo, { pooling: pooling.slice(0, 64) });
    const channels = shape[1]!;
    const first = data.slice(0, channels);
    assert.ok(first.some((value) => value !== 0));
    for (let i = 1; i < pooling.length; i++)
      assert.deepEqual(data.slice(i * channels, (i + 1) * channels), first, `mask ${i}`);
  });

  test('an empty, a coloured and a truncated mask are rejected with their field path', async () => {
    const [width, height] = [600, 400];
    const empty = writePng({ width, height, bits: 8, colour: GREY }, new Uint8Array(width * height));
    const colour = writePng({ width, height, bits: 8, colour: RGB }, new Uint8Array(width * height * 3));
    const box = { box: { left: 0, top: 0, right: 50, bottom: 50 } };
    const refused = (png: Uint8Array, message: RegExp, reason: string) =>
      assert.rejects(
        client.features(photo, { pooling: [box, { png }] }),
        failsWith('INVALID_ARGUMENT', message, reason),
      );
    await refused(empty, /^pooling\.regions\[1\]: has no area/, 'DENSE_BAD_REGION');
    await refused(colour, /^pooling\.regions\[1\]: mask is RGB/, 'IMAGE_UNSUPPORTED_FORMAT');
    await refused(empty.subarray(0, -30), /^pooling\.regions\[1\]: PNG is damaged/, 'IMAGE_CORRUPT');
  });
});
