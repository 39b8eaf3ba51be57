import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Grid } from '../image/geometry.js';
import { runSync } from '../tensor/slices.js';
import { tensor } from '../tensor/tensor.js';
import { checkCells, cutWindow, pickCells, windowGrid, windowUnder } from './selectCells.js';

/** 4 rows, 5 columns of 10 x 20 pixels, the first corner at (100, 50). */
const grid: Grid = {
  rows: 4,
  columns: 5,
  stride: 32,
  cellToPixel: { scaleX: 10, scaleY: 20, offsetX: 100, offsetY: 50 },
};
const mirrored: Grid = { ...grid, cellToPixel: { ...grid.cellToPixel, scaleX: -10, offsetX: 150 } };
/** Element c of cell (row, column): 100 row + 10 column + c. */
const map = tensor(
  'float32',
  [4, 5, 2],
  Float32Array.from({ length: 40 }, (_, i) => 100 * Math.floor(i / 10) + 10 * Math.floor((i % 10) / 2) + (i % 2)),
);

describe('the cells under a rectangle', () => {
  test('are those that overlap it in area, not only at a border', () => {
    const box = { left: 110, right: 130, top: 69.9, bottom: 70.1 };
    assert.deepEqual(windowUnder(grid, box), { firstRow: 0, firstColumn: 1, rows: 2, columns: 2 });
    const inside = { left: 113, right: 114, top: 111, bottom: 112 };
    assert.deepEqual(windowUnder(grid, inside), { firstRow: 3, firstColumn: 1, rows: 1, columns: 1 });
  });

  test('end with the map, and are mirrored if it is', () => {
    const box = { left: -1e6, right: 105, top: 0, bottom: 1e6 };
    assert.deepEqual(windowUnder(grid, box), { firstRow: 0, firstColumn: 0, rows: 4, columns: 1 });
    assert.deepEqual(windowUnder(mirrored, box), { firstRow: 0, firstColumn: 4, rows: 4, columns: 1 });
  });

  test('must not be empty', () => {
    assert.throws(() => windowUnder(grid, { left: 0, right: 100, top: 50, bottom: 60 }), {
      code: 'bad_region',
      message: /covers no cell; the network saw \[100.0, 150.0\) x \[50.0, 130.0\)/,
    });
  });

  test('keep their vectors and their positions', () => {
    const window = { firstRow: 1, firstColumn: 2, rows: 2, columns: 3 };
    const cut = runSync(cutWindow(map, window));
    assert.deepEqual(cut.shape, [2, 3, 2]);
    assert.deepEqual([...cut.data], [120, 121, 130, 131, 140, 141, 220, 221, 230, 231, 240, 241]);
    assert.deepEqual(windowGrid(grid, window).cellToPixel, { scaleX: 10, scaleY: 20, offsetX: 120, offsetY: 70 });
  });
});

test('selected cells are returned in the given order, also repeatedly', () => {
  const cells = [
    { row: 3, column: 4 },
    { row: 0, column: 0 },
    { row: 3, column: 4 },
  ];
  checkCells(grid, cells);
  assert.deepEqual([...runSync(pickCells(map, cells)).data], [340, 341, 0, 1, 340, 341]);
  assert.throws(
    () => checkCells(grid, [...cells, { row: 0, column: 5 }]),
    /^FeatureOpError: \[3\]: row 0, column 5 .*4 x 5/,
  );
});
