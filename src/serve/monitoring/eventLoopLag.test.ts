import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/support/until.js';
import { lagOf, measureEventLoopLag } from './eventLoopLag.js';

test('a blocked event loop shows in the maximum', async () => {
  const lag = measureEventLoopLag();
  try {
    await until(() => lag.max > 0, 5);
    const end = performance.now() + 200;
    while (performance.now() < end);
    await until(() => lag.max >= 0.19, 5);
    assert.ok(lag.percentile(1) <= lag.percentile(50) && lag.percentile(50) <= lag.percentile(99));
    assert.ok(lag.percentile(1) < lag.max);
  } finally {
    lag.stop();
  }
});

test('the sampling interval is no lag', () => {
  assert.deepEqual([lagOf(1_000_000), lagOf(900_000), lagOf(21_000_000)], [0, 0, 0.02]);
});
