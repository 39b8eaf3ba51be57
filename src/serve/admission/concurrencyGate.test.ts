import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import pLimit from 'p-limit';
import { inBoundedTurn } from './concurrencyGate.js';

const limit = { name: 'queueMatches', value: 1, waiting: 'matches wait for their turn' };
const call = () => ({ signal: new AbortController().signal });

/** Work that ends when the test says so. */
function held<T>(value: T) {
  let end = (): void => {};
  const done = new Promise<T>((resolve) => {
    end = () => resolve(value);
  });
  return { work: () => done, end: () => end() };
}

test('one works, as many wait as may, and the next is refused with the limit', async () => {
  const turns = pLimit(1);
  const first = held('first');
  const one = inBoundedTurn(turns, limit, call(), first.work);
  await turn();
  const two = inBoundedTurn(turns, limit, call(), async () => 'second');
  await assert.rejects(
    inBoundedTurn(turns, limit, call(), async () => 'third'),
    { code: 'overloaded', message: /^1 matches wait .* the most that may/, limit: { name: 'queueMatches', value: 1 } },
  );
  first.end();
  assert.deepEqual(await Promise.all([one, two]), ['first', 'second']);
});

test('one that gives up while it waits leaves at once: its place is free, its work is never done', async () => {
  const turns = pLimit(1);
  const first = held('first');
  const one = inBoundedTurn(turns, limit, call(), first.work);
  await turn();
  const patience = new AbortController();
  let worked = false;
  const two = inBoundedTurn(turns, limit, patience, async () => {
    worked = true;
  });
  patience.abort(new Error('gave up'));
  await assert.rejects(two, /gave up/);
  const three = inBoundedTurn(turns, limit, call(), async () => 'third');
  first.end();
  assert.deepEqual(await Promise.all([one, three]), ['first', 'third']);
  assert.equal(worked, false);
  await assert.rejects(
    inBoundedTurn(turns, limit, patience, async () => {}),
    /gave up/,
  );
});

test('patient calls wait beyond the limit, and half of those in the line are patient at most', async () => {
  const turns = pLimit(1);
  const two = { ...limit, value: 2 };
  const first = held('first');
  const one = inBoundedTurn(turns, two, call(), first.work);
  await turn();
  const patient = { ...call(), patient: true };
  const order: number[] = [];
  const waiting = [2, 3, 4].map((value) => inBoundedTurn(turns, two, patient, async () => order.push(value)));
  await turn();
  const other = inBoundedTurn(turns, two, call(), async () => order.push(5));
  await assert.rejects(
    inBoundedTurn(turns, two, call(), async () => 'refused'),
    { code: 'overloaded' },
  );
  first.end();
  await Promise.all([one, ...waiting, other]);
  assert.deepEqual(order, [2, 5, 3, 4], 'one that cannot wait comes behind one patient call, not behind all');
});

test("a failure is its own call's, the next has its turn, and no listener stays", async () => {
  const turns = pLimit(1);
  const { signal } = call();
  await assert.rejects(
    inBoundedTurn(turns, limit, { signal }, async () => {
      throw new Error('failed');
    }),
    /failed/,
  );
  assert.equal(await inBoundedTurn(turns, limit, { signal }, async () => 'well'), 'well');
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});
