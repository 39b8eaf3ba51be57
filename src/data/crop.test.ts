import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from '../tensor/random.js';
import { locationGrid, randomResizedCrop } from './crop.js';

const aspect = [3 / 4, 4 / 3] as const;

test('random crops are inside the image, with area and aspect ratio in the given ranges', () => {
  const random = stream(1);
  for (let i = 0; i < 2000; i++) {
    const crop = randomResizedCrop(random, { width: 300, height: 200 }, { scale: [0.08, 0.5], aspect });
    assert.ok(crop.top >= 0 && crop.left >= 0 && crop.top + crop.height <= 200 && crop.left + crop.width <= 300);
    const area = (crop.width * crop.height) / (300 * 200);
    assert.ok(area > 0.07 && area < 0.52, `area ${area}`);
    assert.ok(crop.width / crop.height > 0.72 && crop.width / crop.height < 1.38);
  }
});

test('if no drawn crop fits, the result is the central crop with an allowed aspect ratio', () => {
  const whole = { scale: [1, 1] as const, aspect };
  const wide = randomResizedCrop(stream(1), { width: 1000, height: 30 }, whole);
  assert.deepEqual(wide, { top: 0, left: 480, height: 30, width: 40 });
  const high = randomResizedCrop(stream(1), { width: 30, height: 1000 }, whole);
  assert.deepEqual(high, { top: 480, left: 0, height: 40, width: 30 });
  assert.deepEqual(randomResizedCrop(stream(1), { width: 1, height: 1 }, whole), {
    top: 0,
    left: 0,
    height: 1,
    width: 1,
  });
});

test('a crop smaller than a pixel is one pixel, not the whole image', () => {
  for (const share of [1e-9, 3e-5, 1e-4]) {
    const crop = randomResizedCrop(stream(1), { width: 80, height: 72 }, { scale: [share, share], aspect });
    assert.deepEqual([crop.width, crop.height], [1, 1], `${share}`);
  }
});

test('cell centres are (row, column) in original pixels; a flipped view has its columns in reverse order', () => {
  const crop = { top: 10, left: 20, height: 40, width: 60, flip: false };
  assert.deepEqual([...locationGrid(crop, 2, 3)], [20, 30, 20, 50, 20, 70, 40, 30, 40, 50, 40, 70]);
  const flipped = { ...crop, flip: true };
  assert.deepEqual([...locationGrid(flipped, 2, 3)], [20, 70, 20, 50, 20, 30, 40, 70, 40, 50, 40, 30]);
  assert.deepEqual(locationGrid(flipped, 2, 3, { mirrorFlipped: false }), locationGrid(crop, 2, 3));
});
