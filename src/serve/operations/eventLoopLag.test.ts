import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { lagOf, measureEventLoopLag } from './eventLoopLag.js';

test('a blocked event loop shows in the maximum', async () => {
  const lag = measureEventLoopLag();
  try {
    while (lag.max === 0) await delay(5);
    const end = performance.now() + 200;
    while (performance.now() < end);
    while (lag.max < 0.19) await delay(5);
    assert.ok(lag.percentile(1) <= lag.percentile(50) && lag.percentile(50) <= lag.percentile(99));
    assert.ok(lag.percentile(1) < lag.max);
  } finally {
    lag.stop();
  }
});

test('the sampling interval is no lag', () => {
  assert.deepEqual([lagOf(1_000_000), lagOf(900_000), lagOf(21_000_000)], [0, 0, 0.02]);
});
