import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, quantile } from './quantile.js';
import { isStable } from './stability.js';

test('quantiles are nearest ranks, and none of nothing', () => {
  const values = [5, 1, 4, 2, 3, 10, 9, 8, 7, 6];
  assert.deepEqual(
    [0, 0.1, 0.5, 0.9, 0.99, 1].map((share) => quantile(values, share)),
    [1, 1, 5, 9, 10, 10],
  );
  assert.equal(median([3, 100, 1]), 3);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('a measurement is stable when every figure of its last windows agrees', () => {
  const settled = [
    [50, 20],
    [100, 10],
    [95, 10.5],
    [104, 9.6],
  ];
  assert.equal(isStable(settled), true);
  assert.equal(isStable(settled, { windows: 4, tolerance: 0.1 }), false);
  assert.equal(isStable(settled.slice(0, 2)), false, 'too few windows');
  assert.equal(isStable([...settled, [100, 15]]), false, 'the second figure jumps');
  assert.equal(isStable(settled, { windows: 3, tolerance: 0.01 }), false, 'a tighter tolerance');
});

test('a window without an answer is never stable', () => {
  assert.equal(
    isStable([
      [0, Number.NaN],
      [0, Number.NaN],
      [0, Number.NaN],
    ]),
    false,
  );
});
