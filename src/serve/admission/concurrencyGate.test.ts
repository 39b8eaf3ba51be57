import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Call } from '../call/call.js';
import { createConcurrencyGate } from './concurrencyGate.js';

/** Runs one at a time. */
const gateOf = (value: number) =>
  createConcurrencyGate({
    concurrency: 1,
    queueLimit: { name: 'queueMatches', value },
    waiting: 'matches wait to be computed',
  });
const call = () => ({ signal: new AbortController().signal, observe: () => {} });

/** Work that ends when the test requests it. */
function held<T>(value: T) {
  let end = (): void => {};
  const done = new Promise<T>((resolve) => {
    end = () => resolve(value);
  });
  return { work: () => done, end: () => end() };
}

test('one task runs, the queue fills, and the next task is rejected with the limit', async () => {
  const gate = gateOf(1);
  const first = held('first');
  const one = gate.run(call(), first.work);
  await turn();
  const two = gate.run(call(), async () => 'second');
  await assert.rejects(
    gate.run(call(), async () => 'third'),
    {
      code: 'overloaded',
      message: /^the queue is full: 1 matches wait .* \(queueMatches: 1\)/,
      limit: { name: 'queueMatches', value: 1 },
    },
  );
  first.end();
  assert.deepEqual(await Promise.all([one, two]), ['first', 'second']);
});

test('a call that is aborted while it waits frees its place immediately, and its work never runs', async () => {
  const gate = gateOf(1);
  const first = held('first');
  const one = gate.run(call(), first.work);
  await turn();
  const controller = new AbortController();
  let worked = false;
  const two = gate.run({ ...call(), signal: controller.signal }, async () => {
    worked = true;
  });
  controller.abort(new Error('gave up'));
  await assert.rejects(two, /gave up/);
  const three = gate.run(call(), async () => 'third');
  first.end();
  assert.deepEqual(await Promise.all([one, three]), ['first', 'third']);
  assert.equal(worked, false);
  await assert.rejects(
    gate.run({ ...call(), signal: controller.signal }, async () => {}),
    /gave up/,
  );
});

test('stream items block beyond the limit, and take at most half of the queue', async () => {
  const gate = gateOf(2);
  const first = held('first');
  const one = gate.run(call(), first.work);
  await turn();
  const ofStream = { ...call(), waitsForCapacity: true };
  const order: number[] = [];
  const waiting = [2, 3, 4].map((value) => gate.run(ofStream, async () => order.push(value)));
  await turn();
  const other = gate.run(call(), async () => order.push(5));
  await assert.rejects(
    gate.run(call(), async () => 'refused'),
    { code: 'overloaded' },
  );
  first.end();
  await Promise.all([one, ...waiting, other]);
  assert.deepEqual(order, [2, 5, 3, 4], 'a unary call comes behind one stream item, not behind all');
});

test('work that fails only fails its own call; the next runs, and no listener remains', async () => {
  const gate = gateOf(1);
  const { signal } = call();
  await assert.rejects(
    gate.run({ ...call(), signal }, async () => {
      throw new Error('failed');
    }),
    /failed/,
  );
  assert.equal(await gate.run({ ...call(), signal }, async () => 'well'), 'well');
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('the time until the work begins is the phase wait, also of an aborted call, and not of a rejected one', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const gate = gateOf(1);
  const waits: [string, string, number][] = [];
  const observed = (name: string, own: Partial<Call> = {}) => ({
    ...call(),
    observe: (phase: string, seconds: number) => void waits.push([name, phase, seconds]),
    ...own,
  });
  const first = held('first');
  const one = gate.run(observed('first'), first.work);
  await turn();
  now += 1000;
  const controller = new AbortController();
  const gone = [
    gate.run(observed('gone', { signal: controller.signal }), async () => {}),
    gate.run(observed('gone while others wait', { signal: controller.signal, waitsForCapacity: true }), async () => {}),
  ];
  await assert.rejects(
    gate.run(observed('rejected'), async () => {}),
    { code: 'overloaded' },
  );
  now += 2000;
  controller.abort(new Error('gave up'));
  await Promise.allSettled(gone);
  const two = gate.run(observed('second'), async () => 'second');
  now += 4000;
  first.end();
  await Promise.all([one, two]);
  assert.deepEqual(waits, [
    ['first', 'wait', 0],
    ['gone', 'wait', 2],
    ['gone while others wait', 'wait', 2],
    ['second', 'wait', 4],
  ]);
});
