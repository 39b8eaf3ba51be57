import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { atOnce } from '../../test/support/atOnce.js';
import { tensor } from '../tensor/tensor.js';
import type { Lattice } from './lattice.js';
import { checkCells, cutWindow, pickCells, windowLattice, windowUnder } from './part.js';

/** 4 rows, 5 columns of 10 x 20 pixels, the first corner at (100, 50). */
const lattice: Lattice = { rows: 4, cols: 5, cellToPixel: { scaleX: 10, scaleY: 20, offsetX: 100, offsetY: 50 } };
const mirrored: Lattice = { ...lattice, cellToPixel: { ...lattice.cellToPixel, scaleX: -10, offsetX: 150 } };
/** Element c of cell (row, column): 100 row + 10 column + c. */
const map = tensor(
  'float32',
  [4, 5, 2],
  Float32Array.from({ length: 40 }, (_, i) => 100 * Math.floor(i / 10) + 10 * Math.floor((i % 10) / 2) + (i % 2)),
);

describe('the cells under a rectangle', () => {
  test('are those that share area with it, borders not counted', () => {
    const box = { left: 110, right: 130, top: 69.9, bottom: 70.1 };
    assert.deepEqual(windowUnder(lattice, box), { firstRow: 0, firstColumn: 1, rows: 2, cols: 2 });
    const inside = { left: 113, right: 114, top: 111, bottom: 112 };
    assert.deepEqual(windowUnder(lattice, inside), { firstRow: 3, firstColumn: 1, rows: 1, cols: 1 });
  });

  test('end with the map, and are mirrored where it is', () => {
    const box = { left: -1e6, right: 105, top: 0, bottom: 1e6 };
    assert.deepEqual(windowUnder(lattice, box), { firstRow: 0, firstColumn: 0, rows: 4, cols: 1 });
    assert.deepEqual(windowUnder(mirrored, box), { firstRow: 0, firstColumn: 4, rows: 4, cols: 1 });
  });

  test('must be some', () => {
    assert.throws(() => windowUnder(lattice, { left: 0, right: 100, top: 50, bottom: 60 }), {
      code: 'bad_region',
      message: /covers no cell; the network saw \[100.0, 150.0\) x \[50.0, 130.0\)/,
    });
  });

  test('keep their vectors and their place', () => {
    const window = { firstRow: 1, firstColumn: 2, rows: 2, cols: 3 };
    const cut = atOnce(cutWindow(map, window));
    assert.deepEqual(cut.shape, [2, 3, 2]);
    assert.deepEqual([...cut.data], [120, 121, 130, 131, 140, 141, 220, 221, 230, 231, 240, 241]);
    assert.deepEqual(windowLattice(lattice, window).cellToPixel, { scaleX: 10, scaleY: 20, offsetX: 120, offsetY: 70 });
  });
});

test('named cells come in their order, twice where they are named twice', () => {
  const cells = [
    { row: 3, column: 4 },
    { row: 0, column: 0 },
    { row: 3, column: 4 },
  ];
  checkCells(lattice, cells);
  assert.deepEqual([...atOnce(pickCells(map, cells)).data], [340, 341, 0, 1, 340, 341]);
  assert.throws(
    () => checkCells(lattice, [...cells, { row: 0, column: 5 }]),
    /^DenseError: \[3\]: row 0, column 5 .*4 x 5/,
  );
});
