import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import sharp from 'sharp';
import { fromPixelCentres, mapPoint, readHomographyFile, turnedView } from '../../scripts/match/planarView.js';

const size = { width: 320, height: 240 };
const discs = [
  { x: 80, y: 60, channel: 0 },
  { x: 250, y: 70, channel: 1 },
  { x: 150, y: 190, channel: 2 },
] as const;

/** A black image with a disc in each channel. */
function picture(): Promise<Buffer> {
  const data = Buffer.alloc(size.width * size.height * 3);
  for (const { x, y, channel } of discs) {
    for (let row = 0; row < size.height; row++) {
      for (let column = 0; column < size.width; column++) {
        if (Math.hypot(column + 0.5 - x, row + 0.5 - y) < 12) data[(row * size.width + column) * 3 + channel] = 255;
      }
    }
  }
  return sharp(data, { raw: { ...size, channels: 3 } })
    .png()
    .toBuffer();
}

/** Centre of the pixels that are bright in only one channel. The canvas around the image is grey. */
async function centreOf(file: Buffer, channel: number): Promise<[number, number]> {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  let [sum, sx, sy] = [0, 0, 0];
  for (let i = 0; i < info.width * info.height; i++) {
    const pixel = data.subarray(i * 3, i * 3 + 3);
    const weight = pixel[channel]! - Math.max(pixel[(channel + 1) % 3]!, pixel[(channel + 2) % 3]!);
    if (weight <= 20) continue;
    sum += weight;
    sx += weight * ((i % info.width) + 0.5);
    sy += weight * (Math.floor(i / info.width) + 0.5);
  }
  return [sx / sum, sy / sum];
}

describe('a rotated view', () => {
  for (const [degrees, scale] of [
    [0, 1],
    [20, 1],
    [-35, 0.8],
    [90, 1],
    [10, 1.4],
  ] as const) {
    test(`shows each point where its homography maps it: ${degrees} degrees, scale ${scale}`, async () => {
      const { file, truth } = await turnedView(await picture(), degrees, scale);
      for (const { x, y, channel } of discs) {
        const [u, v] = await centreOf(file, channel);
        const [expectedU, expectedV] = mapPoint(truth, x, y);
        const off = Math.hypot(u - expectedU, v - expectedV);
        assert.ok(off < 0.1, `disc ${channel}: ${off.toFixed(2)} px from (${expectedU}, ${expectedV})`);
      }
    });
  }
});

test('nine numbers are read from text and from OpenCV files, and other counts are rejected', () => {
  const xml =
    '<?xml version="1.0"?><H13 type_id="opencv-matrix"><rows>3</rows><data>\n1. 2e-1 3 4 5 6 7 8 1.0</data></H13>';
  assert.deepEqual(readHomographyFile(xml), [1, 0.2, 3, 4, 5, 6, 7, 8, 1]);
  assert.deepEqual(readHomographyFile('1 0 -5\n0 1 .5\n0 0 1\n'), [1, 0, -5, 0, 1, 0.5, 0, 0, 1]);
  assert.throws(() => readHomographyFile('1 2 3'), /the file has 3/);
});

test('a homography between pixel centres is converted to one shifted by half a pixel', () => {
  const h = [0.76, -0.3, 225, 0.33, 1.01, -77, 3.5e-4, -1.4e-5, 1];
  const [u, v] = mapPoint(h, 99.5, 199.5);
  const [x, y] = mapPoint(fromPixelCentres(h), 100, 200);
  assert.ok(Math.hypot(x - u - 0.5, y - v - 0.5) < 1e-9);
});
