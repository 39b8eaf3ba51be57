import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { type GifFrame, writeGif } from '../../test/support/gif.js';
import { decodeImage } from './decode.js';
import { firstGifFrame } from './gif.js';
import type { RgbImage } from './types.js';

const RED = [255, 0, 0];
const BLUE = [0, 0, 255];
const WHITE = [255, 255, 255];
/** Colour 0 is the background colour that old encoders set and browsers ignore. */
const colours = [[0, 128, 0], RED, BLUE];
const canvas = { width: 40, height: 30 };

const at = ({ data, width }: RgbImage, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];
const frame = (place: Omit<GifFrame, 'pixels'>, colour = 1): GifFrame => ({
  ...place,
  pixels: new Uint8Array(place.width * place.height).fill(colour),
});

describe('the first frame of a GIF', () => {
  test('is composited over a white canvas that it does not cover', async () => {
    const image = await decodeImage(writeGif(canvas, colours, [frame({ left: 10, top: 5, width: 20, height: 15 })]));
    assert.deepEqual([image.width, image.height], [40, 30]);
    for (let y = 0; y < 30; y++) {
      for (let x = 0; x < 40; x++) {
        const inside = x >= 10 && x < 30 && y >= 5 && y < 20;
        assert.deepEqual(at(image, x, y), inside ? RED : WHITE, `${x}, ${y}`);
      }
    }
  });

  test('may be at each edge of the canvas', async () => {
    const places = [
      { left: 0, top: 0, width: 40, height: 10 },
      { left: 0, top: 20, width: 40, height: 10 },
      { left: 0, top: 0, width: 5, height: 30 },
      { left: 35, top: 0, width: 5, height: 30 },
    ];
    for (const place of places) {
      const image = await decodeImage(writeGif(canvas, colours, [frame(place)]));
      const red = Array.from({ length: 1200 }, (_, i) => at(image, i % 40, Math.floor(i / 40))).filter(
        (c) => c[1] === 0,
      );
      assert.equal(red.length, place.width * place.height);
      assert.deepEqual(at(image, place.left, place.top), RED);
    }
  });

  test('has white in place of its transparent pixels and around it', async () => {
    const place = { left: 10, top: 5, width: 20, height: 15, transparent: 2 };
    const pixels = Uint8Array.from({ length: 300 }, (_, i) => (i % 20 < 10 ? 1 : 2));
    const image = await decodeImage(writeGif(canvas, colours, [{ ...place, pixels }]));
    assert.deepEqual(
      [at(image, 12, 8), at(image, 25, 8), at(image, 2, 2), at(image, 39, 29)],
      [RED, WHITE, WHITE, WHITE],
    );
  });

  test('is the only one that is decoded, whatever follows it', async () => {
    const first = frame({ left: 4, top: 4, width: 8, height: 8 });
    const second = frame({ left: 0, top: 0, width: 40, height: 30, transparent: 1 }, 2);
    const file = writeGif(canvas, colours, [first, second]);
    const whole = await decodeImage(file);
    assert.deepEqual([at(whole, 5, 5), at(whole, 20, 20)], [RED, WHITE]);
    for (const cut of [1, 40, 500])
      assert.deepEqual(await decodeImage(file.subarray(0, -cut)), whole, `without ${cut}`);
  });

  test('of a real file is 160 x 112 at (80, 56) of 320 x 224', async () => {
    const file = await readFile(new URL('../../../test/fixtures/images/cases/offset.gif', import.meta.url));
    const { drawn } = await firstGifFrame(file);
    assert.deepEqual(drawn, { left: 80, top: 56, width: 160, height: 112 });
    const image = await decodeImage(file);
    for (const [x, y] of [
      [0, 0],
      [79, 100],
      [240, 100],
      [160, 55],
      [160, 168],
      [319, 223],
    ] as const) {
      assert.deepEqual(at(image, x, y), WHITE, `${x}, ${y}`);
    }
    assert.notDeepEqual(at(image, 160, 112), WHITE);
  });

  test('has its pixels counted for all code sizes, with and without clear codes', async () => {
    const noise = Uint8Array.from({ length: 200 * 150 * 3 }, (_, i) => (i * 2_654_435_761) >>> 24);
    for (const colourCount of [2, 4, 16, 256]) {
      const picture = sharp(noise, { raw: { width: 200, height: 150, channels: 3 } });
      const file = await picture.gif({ colours: colourCount, dither: 1 }).toBuffer();
      assert.deepEqual((await firstGifFrame(file)).drawn, { left: 0, top: 0, width: 200, height: 150 });
    }
  });
});

describe('a GIF is rejected', () => {
  const refused = (message: RegExp) => ({ name: 'ImageError', code: 'corrupt', message });

  test('if its first frame lacks pixels, even with all blocks terminated', async () => {
    const short = { left: 0, top: 0, width: 20, height: 10, pixels: new Uint8Array(150).fill(1) };
    await assert.rejects(
      decodeImage(writeGif(canvas, colours, [short])),
      refused(/its first frame has 150 of 200 pixels; check/),
    );
  });

  test('if it has no frame, or ends before the first one', async () => {
    const empty = writeGif(canvas, colours, []);
    await assert.rejects(
      decodeImage(empty),
      refused(/GIF is damaged: it ends before its first frame|its first frame is missing/),
    );
    await assert.rejects(decodeImage(empty.subarray(0, 10)), refused(/it ends within its header, at byte 10/));
  });
});
