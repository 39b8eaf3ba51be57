import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSpanClock } from './spanClock.js';

test('times of one call follow the steady clock, whatever the clock of the machine does meanwhile', () => {
  let wall = 1_000_000;
  let steady = 500;
  const clock = createSpanClock(
    () => wall,
    () => steady,
  );
  const toTime = clock.origin();
  assert.deepEqual(toTime(500.25), [1000, 250_000]);
  // Set back by a minute during the call.
  wall -= 60_000;
  steady += 10;
  assert.deepEqual(toTime(510), [1000, 10_000_000]);
  assert.deepEqual(clock.origin()(510), [940, 0], 'the next call has the new time');
});

test('calls share the difference of the clocks while it stays small, so that their spans can be compared', () => {
  let wall = 1_000_000;
  const clock = createSpanClock(
    () => wall,
    () => 0,
  );
  const first = clock.origin()(0);
  wall += 19;
  assert.deepEqual(clock.origin()(0), first);
  wall += 2;
  assert.deepEqual(clock.origin()(0), [1000, 21_000_000]);
});

test('nanoseconds stay below a second', () => {
  const clock = createSpanClock(
    () => 999.999_999_9,
    () => 0,
  );
  assert.deepEqual(clock.origin()(0), [0, 999_999_999]);
});
