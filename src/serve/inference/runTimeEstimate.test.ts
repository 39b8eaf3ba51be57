import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { createRunTimeEstimate } from './runTimeEstimate.js';

/** A clock in ms that the test sets. */
function clock(t: TestContext) {
  const time = { now: 0 };
  t.mock.method(performance, 'now', () => time.now);
  return time;
}

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(Math.abs(actual! - expected) < 1e-9, `${actual}, not ${expected}`);

describe('run time estimate', () => {
  test('knows nothing before three runs of one size', () => {
    const estimate = createRunTimeEstimate();
    for (const pixels of [100, 100, 5000, 5000]) estimate.measured(pixels, 1);
    assert.equal(estimate.secondsFor(100), undefined);
    estimate.measured(100, 1);
    near(estimate.secondsFor(100), 1);
    near(estimate.secondsFor(120), 1.2);
  });

  test('small runs, whose cost is fixed, are only a lower bound for large ones, which then have a time of their own', () => {
    const estimate = createRunTimeEstimate();
    for (let i = 0; i < 40; i++) estimate.measured(16 * 16, 0.002);
    near(estimate.secondsFor(2048 * 2048), 0.002);
    for (let i = 0; i < 3; i++) estimate.measured(2048 * 2048, 3);
    near(estimate.secondsFor(2048 * 2048), 3);
    near(estimate.secondsFor(16 * 16), 0.002);
    // Between the two: at least its share of the larger, and as long as the smaller.
    near(estimate.secondsFor(1024 * 1024), 0.75);
    near(estimate.secondsFor(32 * 32), 0.002);
  });

  test('a run that was slow by chance changes nothing, and three runs replace slow ones', () => {
    const estimate = createRunTimeEstimate();
    for (let i = 0; i < 3; i++) estimate.measured(1000, 3);
    for (let i = 0; i < 2; i++) estimate.measured(1000, 0.02);
    near(estimate.secondsFor(1000), 3);
    estimate.measured(1000, 0.02);
    near(estimate.secondsFor(1000), 0.02);
    for (const seconds of [0.02, 60, 0.02]) estimate.measured(1000, seconds);
    near(estimate.secondsFor(1000), 0.02);
  });

  test('forgets a size that was not run for ten seconds, or for four runs of it where these take longer', (t) => {
    const time = clock(t);
    const estimate = createRunTimeEstimate();
    for (let i = 0; i < 3; i++) {
      estimate.measured(1000, 0.5);
      estimate.measured(1_000_000, 5);
    }
    time.now = 9999;
    near(estimate.secondsFor(1000), 0.5);
    time.now = 10_000;
    near(estimate.secondsFor(1000), 0.005);
    time.now = 19_999;
    near(estimate.secondsFor(1_000_000), 5);
    time.now = 20_000;
    assert.equal(estimate.secondsFor(1_000_000), undefined);
    // It begins anew.
    estimate.measured(1000, 0.1);
    assert.equal(estimate.secondsFor(1000), undefined);
  });
});
