import assert from 'node:assert/strict';
import { it } from 'node:test';
import { median } from './median.js';

it('the median of an even number of values is the mean of the two in the middle', () => {
  assert.equal(median([48, 3, 26, 100]), 37);
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([2, 1]), 1.5);
  assert.ok(Number.isNaN(median([])));
});
