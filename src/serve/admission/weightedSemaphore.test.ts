import assert from 'node:assert/strict';
import { getEventListeners, setMaxListeners } from 'node:events';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createWeightedSemaphore, type Permit, type WeightedSemaphore } from './weightedSemaphore.js';

const { signal } = new AbortController();
setMaxListeners(0, signal);

/** Acquires each weight. @returns the permits that were granted, in their order */
function acquiring(semaphore: WeightedSemaphore, ...weights: number[]) {
  const granted: Permit[] = [];
  for (const weight of weights) void semaphore.acquire(weight, signal).then((permit) => granted.push(permit));
  return granted;
}

describe('weighted semaphore', () => {
  test('units of a permit that is released twice are counted once', () => {
    const semaphore = createWeightedSemaphore(10);
    const permit = semaphore.tryAcquire(6)!;
    assert.deepEqual([semaphore.held, semaphore.canAcquire(4), semaphore.canAcquire(5)], [6, true, false]);
    assert.equal(semaphore.tryAcquire(5), undefined);
    permit.release();
    permit.release();
    assert.deepEqual([semaphore.held, semaphore.canAcquire(10)], [0, true]);
  });

  test('more than the capacity fits when nothing else is held', async () => {
    const semaphore = createWeightedSemaphore(10);
    const permit = semaphore.tryAcquire(15)!;
    assert.deepEqual([permit.weight, semaphore.held, semaphore.tryAcquire(1)], [10, 10, undefined]);
    permit.release();
    const waited = await semaphore.acquire(15, signal);
    assert.deepEqual([waited.weight, semaphore.held], [5, 5], 'waiters hold at most half');
    waited.release();
    assert.equal(semaphore.held, 0);
  });

  test('waiters are served in order: a small one does not overtake a large one', async () => {
    const semaphore = createWeightedSemaphore(10);
    const taken = semaphore.tryAcquire(8)!;
    const granted = acquiring(semaphore, 3, 1);
    await turn();
    assert.deepEqual([granted.length, semaphore.waiting], [0, 2]);
    taken.release();
    await turn();
    assert.deepEqual([granted.map(({ weight }) => weight), semaphore.waiting, semaphore.held], [[3, 1], 0, 4]);
    for (const { waitedMs } of granted) assert.ok(waitedMs > 0);
  });

  test('waiters hold at most half, and released units go to them first', async () => {
    const semaphore = createWeightedSemaphore(4);
    const granted = acquiring(semaphore, 1, 1, 1);
    await turn();
    assert.deepEqual([granted.length, semaphore.canAcquire(2), semaphore.canAcquire(3)], [2, true, false]);
    const others = semaphore.tryAcquire(2)!;
    granted[0]!.release();
    await turn();
    assert.deepEqual([granted.length, semaphore.canAcquire(1)], [3, false]);
    others.release();
  });

  test('calls that do not wait cannot keep a heavy waiter out, although some of them always hold units', async () => {
    const semaphore = createWeightedSemaphore(10);
    // Each of these holds 2 units, and the next one arrives before it ends.
    const held = [1, 2, 3].map(() => semaphore.tryAcquire(2)!);
    const granted = acquiring(semaphore, 5);
    for (let i = 0; i < 100 && granted.length === 0; i++) {
      const next = semaphore.tryAcquire(2);
      if (next) held.push(next);
      held.shift()?.release();
      await turn();
    }
    assert.deepEqual(
      granted.map(({ weight }) => weight),
      [5],
    );
    assert.ok(held.length > 0, 'as soon as it fits, while others still hold units');
  });

  test('waiters cannot keep out calls that do not wait from the other half', async () => {
    for (const capacity of [2, 3, 10, 11]) {
      const semaphore = createWeightedSemaphore(capacity);
      const half = Math.floor(capacity / 2);
      // A stream that always has a next item, of every weight.
      const waiting = acquiring(semaphore, ...Array.from({ length: 200 }, (_, i) => 1 + (i % half)));
      await turn();
      const free = capacity - half;
      for (let i = 0; i < 100; i++) {
        const own = Array.from({ length: free }, () => semaphore.tryAcquire(1));
        assert.ok(
          own.every((permit) => permit),
          `${capacity}, after ${i} grants`,
        );
        assert.equal(semaphore.tryAcquire(free), undefined, 'not more, while streams hold their half or wait for it');
        // The oldest item ends, then the calls.
        waiting[i]!.release();
        for (const permit of own) permit?.release();
        await turn();
      }
    }
  });

  test('units are kept for the first waiter only while it waits for the capacity', async () => {
    const semaphore = createWeightedSemaphore(10);
    await semaphore.acquire(3, signal);
    const granted = acquiring(semaphore, 3);
    await turn();
    // 3 + 3 is more than the half of the waiters, so the 7 free units are not what it waits for.
    assert.equal(granted.length, 0);
    const light = semaphore.tryAcquire(6)!;
    assert.ok(light && semaphore.canAcquire(1));
    light.release();
    assert.equal(semaphore.held, 3);
  });

  test('a weight of 0 is granted at any time, and what a waiter gave up is free again', async () => {
    const semaphore = createWeightedSemaphore(10);
    const taken = semaphore.tryAcquire(8)!;
    const controller = new AbortController();
    const waiter = semaphore.acquire(5, controller.signal);
    assert.deepEqual(
      [semaphore.canAcquire(1), semaphore.tryAcquire(2), semaphore.tryAcquire(0)?.weight],
      [false, undefined, 0],
    );
    controller.abort(new Error('gave up'));
    await assert.rejects(waiter, /gave up/);
    assert.equal(semaphore.tryAcquire(2)?.weight, 2);
    taken.release();
  });

  test('an aborted waiter does not block those behind it, and no listener remains', async () => {
    const semaphore = createWeightedSemaphore(4);
    semaphore.tryAcquire(3);
    const controller = new AbortController();
    const heavy = semaphore.acquire(2, controller.signal);
    const light = semaphore.acquire(1, signal);
    const before = getEventListeners(signal, 'abort').length;
    controller.abort(new Error('gave up'));
    await assert.rejects(heavy, /gave up/);
    (await light).release();
    assert.equal(getEventListeners(signal, 'abort').length, before - 1);
    await assert.rejects(semaphore.acquire(1, controller.signal), /gave up/);
  });

  test('a permit that is reduced releases the difference to the waiters', async () => {
    const semaphore = createWeightedSemaphore(8);
    const granted = acquiring(semaphore, 4, 1);
    await turn();
    assert.equal(granted.length, 1, 'the half is held');
    granted[0]!.shrink(5);
    assert.equal(granted[0]!.weight, 4, 'it never grows');
    granted[0]!.shrink(3);
    await turn();
    assert.deepEqual([granted[0]!.weight, granted.length, semaphore.held], [3, 2, 4]);
    for (const permit of granted) permit.release();
    assert.equal(semaphore.held, 0);
    granted[0]!.shrink(1);
    assert.equal(semaphore.held, 0, 'after its release it holds nothing');
  });

  test('all waiters can be rejected', async () => {
    const semaphore = createWeightedSemaphore(4);
    semaphore.tryAcquire(4);
    const rejected = [1, 2].map((weight) => assert.rejects(semaphore.acquire(weight, signal), /down/));
    semaphore.rejectWaiting(new Error('down'));
    await Promise.all(rejected);
    assert.equal(semaphore.waiting, 0);
  });
});
