import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { locationGrid } from '../../src/data/crop.js';
import type { Crop } from '../../src/image/types.js';

const golden: (Crop & { n: number; grid: [number, number][] })[] = JSON.parse(
  readFileSync('test/golden/location_grids.json', 'utf8'),
);

test(`location grids of ${golden.length} crops agree to 1e-4 px`, () => {
  assert.ok(golden.length > 0);
  for (const { n, grid, ...crop } of golden) {
    const ours = locationGrid(crop, n, n);
    assert.equal(ours.length, grid.length * 2);
    grid.flat().forEach((value, i) => {
      // The file has four decimals, so it is rounded by up to half of the last one.
      assert.ok(
        Math.abs(ours[i]! - value) <= 1e-4,
        `${JSON.stringify({ ...crop, n })} at ${i}: ${ours[i]} != ${value}`,
      );
    });
  }
});

test('without mirroring, a flipped crop has the same grid as the unflipped one', () => {
  for (const { n, grid: _, ...crop } of golden) {
    const plain = locationGrid({ ...crop, flip: false }, n, n);
    const flipped = locationGrid({ ...crop, flip: true }, n, n, { mirrorFlipped: false });
    assert.deepEqual(flipped, plain);
  }
});
