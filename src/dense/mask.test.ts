import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Box } from './lattice.js';
import { bitmapRuns, readCompressedCounts, runLengthRuns } from './mask.js';

/** Pixels of some rectangles, row-major. */
function painted(runs: Iterable<Box>, width: number, height: number): number[] {
  const pixels = new Array<number>(width * height).fill(0);
  for (const { left, right, top, bottom } of runs) {
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) pixels[y * width + x]! += 1;
  }
  return pixels;
}

const mask = [0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1];

test('a bitmap is its runs', () => {
  assert.deepEqual(painted(bitmapRuns(Uint8Array.from(mask), 4, 3), 4, 3), mask);
  assert.deepEqual([...bitmapRuns(new Uint8Array(12), 4, 3)], []);
});

test("run lengths go down the columns, as COCO's", () => {
  // The columns of the mask: 0 1 1, 1 1 0, 1 0 1, 0 0 1.
  assert.deepEqual(painted(runLengthRuns([1, 4, 1, 1, 1, 1, 2, 1], 4, 3), 4, 3), mask);
  assert.throws(() => [...runLengthRuns([1, 4], 4, 3)], /cover 5 pixels, and the mask has 4 x 3 = 12/);
});

test('compressed run lengths are the string of the counts', () => {
  // A mask of 100 rows and 200 columns with rows 10 to 49 of columns 20 to 119 set: as COCO's maskApi.c writes its counts.
  const counts = [2010, ...Array.from({ length: 199 }, (_, i) => (i % 2 === 0 ? 40 : 60)), 8050];
  assert.deepEqual(readCompressedCounts(Buffer.from(`jn1X1l1${'0'.repeat(197)}fi7`)), counts);
  assert.deepEqual(readCompressedCounts(Buffer.from('141M0010')), [1, 4, 1, 1, 1, 1, 2, 1]);
});

test('what is no run length is refused', () => {
  for (const text of ['\n', 'P', 'ooooooooo', '0000000O']) {
    assert.throws(() => readCompressedCounts(Buffer.from(text)), { code: 'bad_region' }, text);
  }
});
