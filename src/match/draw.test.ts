import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { drawMatches } from './draw.js';

const grey = (width: number, height: number) => ({ width, height, data: new Uint8Array(width * height * 3).fill(128) });

test('both images are side by side, with boxes and a line drawn over them', async () => {
  const png = await drawMatches(
    { image: grey(64, 64), cell: { width: 8, height: 8 } },
    { image: grey(128, 64), cell: { width: 8, height: 8 }, crop: { left: 8, top: 8, width: 64, height: 48 } },
    [{ a: { x: 32, y: 32 }, b: { x: 64, y: 32 } }],
  );
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], [512 + 16 + 1024, 512]);
  const pixel = (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)];
  assert.deepEqual(pixel(100, 100), [128, 128, 128]);
  assert.deepEqual(pixel(520, 10), [255, 255, 255]);
  const [red = 0, green = 0] = pixel(400, 256); // on the line between the two centres
  assert.ok(red > green + 50, `the line is red: ${pixel(400, 256)}`);
  const box = pixel(256 - 32, 240); // left edge of the first cell: 64 px wide after scaling
  assert.ok(box[0]! > box[1]! + 50, `the box is red: ${box}`);
});

test('without pairs only the images are drawn', async () => {
  const side = { image: grey(10, 20), cell: { width: 8, height: 8 } };
  assert.equal((await sharp(await drawMatches(side, side, [])).metadata()).width, 256 + 16 + 256);
});

test('an image of one row does not exceed the maximum width', async () => {
  const flat = { image: grey(20_000, 1), cell: { width: 8, height: 8 } };
  const { width, height } = await sharp(await drawMatches(flat, flat, [])).metadata();
  assert.deepEqual([width, height], [4096 + 16 + 4096, 512]);
});

test('outlines are drawn over their image and clipped to it', async () => {
  const cell = { width: 8, height: 8 };
  const points = [
    { x: -64, y: 32 },
    { x: 32, y: 32 },
    { x: 32, y: 1e9 },
    { x: -64, y: 1e9 },
  ];
  const png = await drawMatches(
    { image: grey(64, 64), cell },
    { image: grey(64, 64), cell, outlines: [{ points, colour: 'red', dashed: false }] },
    [],
  );
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const pixel = (x: number, y: number) => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)];
  const left = 512 + 16;
  assert.deepEqual(pixel(left + 100, 256), [255, 0, 0]);
  assert.deepEqual(pixel(left + 256, 400), [255, 0, 0]);
  // Left of its image: the other image, and the gap between them.
  assert.deepEqual(pixel(300, 256), [128, 128, 128]);
  assert.deepEqual(pixel(520, 256), [255, 255, 255]);
});
