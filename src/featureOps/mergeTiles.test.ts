import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSync } from '../tensor/slices.js';
import { tensor } from '../tensor/tensor.js';
import { addTile, blendWeights, emptyMap } from './mergeTiles.js';

test('weights fall linearly to the ends of a window and sum to 1 at every cell', () => {
  const [first, second] = blendWeights(6, [0, 2], 4);
  // Tents 1 2 2 1 at 0 and at 2: the sums are 1 2 3 3 2 1.
  assert.deepEqual([...first!], [1, 1, 2 / 3, 1 / 3]);
  assert.deepEqual([...second!], [1 / 3, 2 / 3, 1, 1]);
  for (const starts of [
    [0, 3, 5, 7],
    [0, 4, 7],
    [0, 1, 2, 3, 4, 5, 6, 7],
  ]) {
    const sums = new Float64Array(12);
    for (const [i, weights] of blendWeights(12, starts, 5).entries()) {
      for (const [at, weight] of weights.entries()) sums[starts[i]! + at]! += weight;
    }
    for (const sum of sums) assert.ok(Math.abs(sum - 1) < 1e-12);
  }
});

test('windows of one map merge to that map, and different ones to their weighted mean', () => {
  const [rows, columns] = [5, 6];
  const valueAt = (row: number, column: number) => row * 10 + column;
  const tops = [0, 2];
  const lefts = [0, 2, 3];
  const down = blendWeights(rows, tops, 3);
  const across = blendWeights(columns, lefts, 3);
  const mergeOf = (value: (row: number, column: number, window: number) => number) => {
    const merged = emptyMap(rows, columns, 2);
    let window = 0;
    for (const [i, row] of tops.entries()) {
      for (const [j, column] of lefts.entries()) {
        const data = Float32Array.from({ length: 18 }, (_, at) => {
          const cell = at >> 1;
          return value(row + Math.floor(cell / 3), column + (cell % 3), window) * (at % 2 === 0 ? 1 : -1);
        });
        runSync(
          addTile(merged, tensor('float32', [3, 3, 2], data), { row, column, down: down[i]!, across: across[j]! }),
        );
        window++;
      }
    }
    return merged.data;
  };
  for (const [at, value] of mergeOf(valueAt).entries()) {
    const cell = at >> 1;
    const wanted = valueAt(Math.floor(cell / columns), cell % columns) * (at % 2 === 0 ? 1 : -1);
    assert.ok(Math.abs(value - wanted) < 1e-5, `${at}: ${value}, expected ${wanted}`);
  }
  const ofSecond = mergeOf((_row, _column, window) => (window === 1 ? 1 : 0));
  // Row 0 has one row of windows; column 2 lies in windows 0 (weight 1 of 2) and 1 (weight 1 of 2), column 3 in 1 and 2.
  assert.deepEqual([...ofSecond].filter((_, at) => at % 2 === 0).slice(0, columns), [
    0,
    0,
    0.5,
    Math.fround(2 / 3),
    Math.fround(1 / 3),
    0,
  ]);
});
