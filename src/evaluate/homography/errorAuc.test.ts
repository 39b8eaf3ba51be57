import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorAuc } from './errorAuc.js';

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual}, not ${expected}`);

describe('the area under the curve of recall', () => {
  it('connects the errors by straight lines and is level after the last one', () => {
    // Triangle to (1, 1/3), trapezium to (2, 2/3), then level up to 5.
    near(errorAuc([20, 1, 2], 5), (1 / 6 + 1 / 2 + 3 * (2 / 3)) / 5);
  });

  it('excludes errors that equal the threshold, as SuperGlue does', () => {
    assert.equal(errorAuc([3, 4], 3), 0);
    near(errorAuc([2, 3], 3), (2 * 0.25 + 0.5) / 3);
  });

  it('is 1 for errors of 0, and 0 if nothing is found', () => {
    assert.equal(errorAuc([0, 0], 3), 1);
    assert.equal(errorAuc([Number.POSITIVE_INFINITY, 50], 10), 0);
  });
});
