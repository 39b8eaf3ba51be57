import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Outcome, runWindow } from './load.js';
import { quantile } from './quantile.js';

const ok: Outcome = { code: 'OK', phases: { decode: 2 } };

test('a closed loop has at maxRunning as many concurrent calls as callers, and counts calls that end in the window', async () => {
  let running = 0;
  let maxRunning = 0;
  let calls = 0;
  const call = async () => {
    running++;
    calls++;
    maxRunning = Math.max(maxRunning, running);
    await delay(5);
    running--;
    return ok;
  };
  const window = await runWindow(call, { kind: 'closed', concurrency: 3 }, { ramp: 0.05, seconds: 0.2 });
  assert.equal(maxRunning, 3);
  assert.equal(running, 0, 'the window waits for calls in progress');
  assert.ok(
    window.completed > 0 && window.completed < calls,
    `${window.completed} of ${calls}: the ramp is not counted`,
  );
  assert.equal(window.latencies.length, window.completed);
  assert.deepEqual(window.codes, { OK: window.completed });
  assert.deepEqual(new Set(window.phases['decode']), new Set([2]));
});

test('failed calls are counted by status and have no latency', async () => {
  let calls = 0;
  const call = async (): Promise<Outcome> => {
    await delay(2);
    return calls++ % 2 === 0 ? ok : { code: 'RESOURCE_EXHAUSTED', phases: {} };
  };
  const window = await runWindow(call, { kind: 'closed', concurrency: 1 }, { ramp: 0, seconds: 0.1 });
  assert.ok(window.codes['RESOURCE_EXHAUSTED']! > 0);
  assert.equal(window.codes['OK'], window.latencies.length);
});

test('an open loop measures latency from the scheduled time, so a stall affects all calls scheduled during it', async () => {
  let calls = 0;
  const call = async () => {
    if (calls++ === 5) {
      // The generator itself is blocked: the next calls start late and are answered immediately.
      const end = performance.now() + 200;
      while (performance.now() < end);
    }
    return ok;
  };
  const window = await runWindow(call, { kind: 'open', rate: 200, seed: 3 }, { ramp: 0, seconds: 0.5 });
  assert.ok(calls > 50 && calls < 200, `${calls} calls at 200 per second in half a second`);
  assert.equal(window.latencies.length, calls);
  const stalled = window.latencies.filter((ms) => ms > 50).length;
  assert.ok(stalled >= 10, `${stalled} calls have the latency of the 200 ms stall`);
  assert.ok(quantile(window.lateness, 1) > 150, 'the delay of the generator is reported');
});

test('equal seeds give equal arrivals, and different seeds different ones', async () => {
  const arrivals = async (seed: number) => {
    let count = 0;
    const call = async () => {
      count++;
      return ok;
    };
    await runWindow(call, { kind: 'open', rate: 300, seed }, { ramp: 0, seconds: 0.2 });
    return count;
  };
  const counts = [await arrivals(1), await arrivals(1), await arrivals(2), await arrivals(5)];
  assert.equal(counts[0], counts[1]);
  assert.ok(new Set(counts).size > 1, String(counts));
});
