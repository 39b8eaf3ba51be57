import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mbPerMinute } from './growth.js';

test('the growth of memory is the slope of its samples, whatever a single peak does', () => {
  const samples = Array.from({ length: 9 }, (_, i) => ({ minute: i / 2, mb: 100 + 3 * i }));
  assert.equal(mbPerMinute(samples), 6);
  samples[4] = { minute: 2, mb: 1000 };
  assert.equal(mbPerMinute(samples), 6);
});

test('samples of the same time are not divided by zero', () => {
  assert.equal(
    mbPerMinute([
      { minute: 1, mb: 10 },
      { minute: 1, mb: 10 },
      { minute: 2, mb: 15 },
    ]),
    5,
  );
});
