import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Box } from '../image/types.js';
import { bitmapRuns, compressedLengths, type Runs, runLengthRuns } from './maskRuns.js';

/** The rectangles of all batches. */
function boxes(runs: Runs): Box[] {
  const numbers = [...runs].flat();
  return Array.from({ length: numbers.length / 4 }, (_, i) => {
    const [left, right, top, bottom] = numbers.slice(4 * i, 4 * i + 4) as [number, number, number, number];
    return { left, right, top, bottom };
  });
}

/** Pixels of some rectangles, row-major. */
function painted(runs: Runs, width: number, height: number): number[] {
  const pixels = new Array<number>(width * height).fill(0);
  for (const { left, right, top, bottom } of boxes(runs)) {
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) pixels[y * width + x]! += 1;
  }
  return pixels;
}

const mask = [0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1];

test('a bitmap is converted to its runs', () => {
  assert.deepEqual(painted(bitmapRuns(Uint8Array.from(mask), 4, 3), 4, 3), mask);
  assert.deepEqual(boxes(bitmapRuns(new Uint8Array(12), 4, 3)), []);
});

test('run lengths are column by column, as in COCO', () => {
  // The columns of the mask: 0 1 1, 1 1 0, 1 0 1, 0 0 1.
  assert.deepEqual(painted(runLengthRuns([1, 4, 1, 1, 1, 1, 2, 1], 4, 3), 4, 3), mask);
  assert.throws(() => [...runLengthRuns([1, 4], 4, 3)], /cover 5 pixels, and the mask has 4 x 3 = 12/);
});

test('compressed run lengths decode to the same counts', () => {
  // A mask of 100 rows and 200 columns with rows 10 to 49 of columns 20 to 119 set: as COCO's maskApi.c writes its counts.
  const counts = [2010, ...Array.from({ length: 199 }, (_, i) => (i % 2 === 0 ? 40 : 60)), 8050];
  assert.deepEqual([...compressedLengths(Buffer.from(`jn1X1l1${'0'.repeat(197)}fi7`))], counts);
  assert.deepEqual([...compressedLengths(Buffer.from('141M0010'))], [1, 4, 1, 1, 1, 1, 2, 1]);
});

test('invalid run lengths are rejected', () => {
  for (const text of ['\n', 'P', 'ooooooooo', '0000000O']) {
    assert.throws(() => [...compressedLengths(Buffer.from(text))], { code: 'bad_region' }, text);
  }
});

test('complete columns are one rectangle, however many', () => {
  // From the third pixel of the first column to the second of the fifth.
  assert.deepEqual(boxes(runLengthRuns([2, 12, 4], 6, 3)), [
    { left: 0, right: 1, top: 2, bottom: 3 },
    { left: 1, right: 4, top: 0, bottom: 3 },
    { left: 4, right: 5, top: 0, bottom: 2 },
  ]);
});

test('a large mask is processed in batches, also where it is empty', () => {
  assert.equal(
    [...bitmapRuns(new Uint8Array(12_000_000), 4000, 3000)].length,
    13,
    'one for every million pixels, and an end',
  );
  // One row, which is split at the end of a batch.
  const row = new Uint8Array(3_000_000).fill(1);
  assert.deepEqual(
    boxes(bitmapRuns(row, row.length, 1)).map(({ left, right }) => [left, right]),
    [0, 1, 2].map((i) => [i * 1_000_000, (i + 1) * 1_000_000]),
  );
  const stripes = Uint8Array.from({ length: 1_000_000 }, (_, i) => i & 1);
  const batches = [...bitmapRuns(stripes, 1000, 1000)];
  assert.ok(batches.every((batch) => batch.length <= 80_000));
  assert.equal(batches.flat().length, 4 * 500_000);
  const first = runLengthRuns(compressedLengths(Buffer.alloc(200_000, '0')), 1000, 1000);
  assert.deepEqual([first.next().value, first.next().value], [[], []], 'lengths of 0');
});

test('run lengths end with the mask, and are not more than its pixels', () => {
  function* endless(length: number): Generator<number> {
    for (;;) yield length;
  }
  assert.throws(() => [...runLengthRuns(endless(5), 4, 3)], {
    code: 'bad_region',
    message: 'run lengths cover 15 pixels or more, and the mask has 4 x 3 = 12',
  });
  assert.throws(() => [...runLengthRuns(endless(0), 4, 3)], { message: /^run lengths are more than 13, and the mask/ });
  assert.deepEqual(boxes(runLengthRuns([0, ...new Array(12).fill(1)], 4, 3)).length, 6);
});
