import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, quantile } from './quantile.js';
import { isStable } from './stability.js';

test('quantiles are nearest ranks, and NaN for an empty list', () => {
  const values = [5, 1, 4, 2, 3, 10, 9, 8, 7, 6];
  assert.deepEqual(
    [0, 0.1, 0.5, 0.9, 0.99, 1].map((share) => quantile(values, share)),
    [1, 1, 5, 9, 10, 10],
  );
  assert.equal(median([3, 100, 1]), 3);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('a measurement is stable if all figures of its last windows agree', () => {
  const stable = [
    [50, 20],
    [100, 10],
    [95, 10.5],
    [104, 9.6],
  ];
  assert.equal(isStable(stable), true);
  assert.equal(isStable(stable, { windows: 4, tolerance: 0.1 }), false);
  assert.equal(isStable(stable.slice(0, 2)), false, 'too few windows');
  assert.equal(isStable([...stable, [100, 15]]), false, 'the second figure differs');
  assert.equal(isStable(stable, { windows: 3, tolerance: 0.01 }), false, 'a lower tolerance');
});

test('windows without any response are never stable', () => {
  assert.equal(
    isStable([
      [0, Number.NaN],
      [0, Number.NaN],
      [0, Number.NaN],
    ]),
    false,
  );
});
