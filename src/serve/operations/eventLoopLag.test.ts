import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Gauge, Registry } from 'prom-client';
import { until } from '../../../test/support/until.js';
import { lagOf, measureEventLoopLag, registerEventLoopLag } from './eventLoopLag.js';

test('a blocked event loop is visible in the maximum at every scrape', async () => {
  const lag = measureEventLoopLag();
  try {
    await until(() => lag.max > 0, 5);
    const end = performance.now() + 200;
    while (performance.now() < end);
    await until(() => lag.max > 0.19, 5);
    assert.ok(lag.percentile(1) <= lag.percentile(50) && lag.percentile(50) <= lag.percentile(99));
    assert.ok(lag.percentile(1) < lag.max);
    const registry = new Registry();
    registerEventLoopLag(registry, lag);
    const scrape = async () => {
      await registry.metrics();
      const gauge = registry.getSingleMetric('vicregl_event_loop_lag_max_seconds') as Gauge;
      return (await gauge.get()).values[0]!.value;
    };
    assert.ok((await scrape()) > 0.19);
    assert.ok((await scrape()) > 0.19, 'a scrape takes nothing from the next');
  } finally {
    lag.stop();
  }
});

test('the sampling interval does not count as lag', () => {
  assert.deepEqual([lagOf(1_000_000), lagOf(900_000), lagOf(21_000_000)], [0, 0, 0.02]);
});
