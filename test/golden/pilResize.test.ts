import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { prepareImage } from '../../src/image/resize.js';
import type { RgbImage } from '../../src/image/types.js';

/** Compares resizing and cropping with Pillow, which torchvision uses. (scripts/compare compares them on photographs.) */

interface Recorded {
  readonly cases: readonly {
    readonly width: number;
    readonly height: number;
    readonly resize: number;
    readonly crop: number;
    /** uint8 [crop, crop, 3] in base64. */
    readonly pixels: string;
  }[];
}

/** An image with ramps, a fine texture and edges. The record was made from the same image. */
function picture(width: number, height: number): RgbImage {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, at) => {
    const [c, x, y] = [at % 3, Math.floor(at / 3) % width, Math.floor(at / 3 / width)];
    const edge = (Math.floor(x / 11) + Math.floor(y / 7)) % 2 ? 90 : 0;
    return (x * (2 + c) + y * (5 - c) + ((x * y) % (9 + c)) + edge) % 256;
  });
  return { width, height, data };
}

const { cases } = JSON.parse(await readFile('test/golden/pil_resize.json', 'utf8')) as Recorded;

describe('shortestSide compared with Pillow', () => {
  for (const { width, height, resize, crop, pixels } of cases) {
    it(`${width} x ${height} to ${resize}, cropped to ${crop}: the mean difference is below half a level`, async () => {
      const expected = Buffer.from(pixels, 'base64');
      const { image } = await prepareImage(picture(width, height), { kind: 'shortestSide', resize, crop }, 8);
      assert.deepEqual([image.width, image.height, image.data.length], [crop, crop, expected.length]);
      const differences = image.data.map((value, at) => Math.abs(value - expected[at]!));
      const mean = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
      assert.ok(mean <= 0.5 && Math.max(...differences) <= 12, `mean ${mean}, largest ${Math.max(...differences)}`);
    });
  }
});
