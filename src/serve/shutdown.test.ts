import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { until } from '../../test/support/until.js';
import { createShutdown, type ShutdownTimes, serveUntilSignal } from './shutdown.js';

const logger = { info: () => {}, warn: () => {} };

test('a signal closes the server, and no listener remains', async () => {
  const listeners = process.listenerCount('SIGTERM');
  let closed = 0;
  const close = async () => {
    closed++;
  };
  const ended = serveUntilSignal({ close }, logger);
  assert.equal(process.listenerCount('SIGTERM'), listeners + 1);
  process.emit('SIGTERM');
  await ended;
  assert.equal(closed, 1);
  assert.equal(process.listenerCount('SIGTERM'), listeners);
});

/** A promise, and what resolves it. */
function settledLater() {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

describe('a shutdown', () => {
  /** A listener with one call and a service with one run, which end when the test says, and what happens to them in order. */
  function running(times: ShutdownTimes, { calls = 1, runs = 1 } = {}) {
    const events: string[] = [];
    let inFlight = calls;
    const call = settledLater();
    const run = settledLater();
    const endCall = (): void => {
      inFlight = 0;
      call.resolve();
    };
    const endRun = (): void => run.resolve();
    if (calls === 0) endCall();
    if (runs === 0) endRun();
    const transport = {
      get callsInFlight() {
        return inFlight;
      },
      idle: () => call.promise,
      drain() {
        events.push('drain');
        return call.promise;
      },
      forceShutdown() {
        events.push('end connections');
        endCall();
      },
    };
    const service = {
      close() {
        events.push('close models');
        return run.promise;
      },
      terminate() {
        events.push('terminate models');
        endRun();
      },
    };
    const stop = createShutdown(
      {
        ...{ transports: [transport], service },
        notServing: () => void events.push('not serving'),
        closeRest: async () => void events.push('close the rest'),
      },
      times,
    );
    return { events, stop, endCall, endRun };
  }

  test('waits for calls, then for runs, as long as the grace period allows', async () => {
    const { events, stop, endCall, endRun } = running({ delayMs: 0, graceMs: 600_000 });
    const stopped = stop(false);
    assert.equal(stop(false), stopped);
    // More than the time that streams have after the last call.
    await delay(400);
    assert.deepEqual(events, ['not serving', 'drain']);
    endCall();
    await until(() => events.includes('close models'));
    assert.deepEqual(events.slice(2), ['end connections', 'close models']);
    endRun();
    await stopped;
    assert.deepEqual(events.slice(4), ['terminate models', 'close the rest']);
  });

  test('ends a call, and a run, that outlast the grace period', async () => {
    for (const outlasting of [{}, { calls: 0 }, { runs: 0 }]) {
      const { events, stop } = running({ delayMs: 0, graceMs: 1 }, outlasting);
      await stop(false);
      assert.deepEqual(events, [
        ...['not serving', 'drain', 'end connections', 'close models', 'terminate models', 'close the rest'],
      ]);
    }
  });

  test('ends a call that outlasts the grace period though every connection is closed', async () => {
    const events: string[] = [];
    const stop = createShutdown(
      {
        transports: [
          {
            callsInFlight: 1,
            idle: () => new Promise<void>(() => {}),
            drain: async () => {},
            forceShutdown: () => void events.push('end connections'),
          },
        ],
        service: { close: async () => void events.push('close models'), terminate: () => {} },
        notServing: () => {},
        closeRest: async () => void events.push('close the rest'),
      },
      { delayMs: 0, graceMs: 20 },
    );
    await stop(false);
    assert.deepEqual(events, ['end connections', 'close models', 'close the rest']);
  });

  test('accepts calls during the delay; when it is forced, it waits for nothing', async () => {
    const { events, stop } = running({ delayMs: 2000, graceMs: 600_000 });
    const stopped = stop(false);
    await turn();
    assert.deepEqual(events, ['not serving']);
    assert.equal(stop(true), stopped);
    await stopped;
    assert.deepEqual(events, [
      ...['not serving', 'end connections', 'drain', 'end connections'],
      ...['close models', 'terminate models', 'close the rest'],
    ]);
  });
});
