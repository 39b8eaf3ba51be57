import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadlineIn, durationMs } from './deadline.js';

test('a deadline is so many ms from now, and none is sent for Infinity', () => {
  const { deadline } = deadlineIn(5000);
  assert.ok(Math.abs(deadline! - Date.now() - 5000) < 1000);
  assert.deepEqual(deadlineIn(Number.POSITIVE_INFINITY), {});
});

test('the longest deadline does not overflow the 32 bits of a service, rounded up to seconds as it is sent', () => {
  for (const ms of [2 ** 31 - 1, 2 ** 31, 1e12]) {
    const seconds = Math.ceil((deadlineIn(ms).deadline! - Date.now()) / 1000);
    assert.ok(((seconds * 1000) | 0) > 2e9, `${seconds}`);
  }
});

test('what is no number of ms is INVALID_ARGUMENT', () => {
  for (const value of [Number.NaN, 'x', null, undefined]) {
    assert.throws(() => durationMs('timeoutMs', value as number), {
      code: 'INVALID_ARGUMENT',
      message: `timeoutMs: ${value} is not a number of milliseconds; give one, or Infinity for no limit`,
    });
  }
});
