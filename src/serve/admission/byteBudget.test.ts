import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createByteBudget } from './byteBudget.js';

test('bytes are granted up to the limit, and fit again when others are released', () => {
  const budget = createByteBudget('requestBytes', 100);
  const permit = budget.tryAcquire(60);
  assert.throws(() => budget.tryAcquire(41), {
    code: 'overloaded',
    limit: { name: 'requestBytes', value: 100 },
    message: /hold 60 bytes, and 41 more would exceed the limit of 100 \(requestBytes\); try again later/,
  });
  assert.equal(budget.held, 60, 'what is rejected is not counted');
  budget.tryAcquire(40);
  permit.release();
  assert.equal(budget.held, 40);
  budget.tryAcquire(60);
});

test('more than the limit fits when nothing else is held', () => {
  const budget = createByteBudget('requestBytes', 100);
  const permit = budget.tryAcquire(150);
  assert.equal(budget.held, 100);
  assert.throws(() => budget.tryAcquire(1), { code: 'overloaded' });
  permit.release();
  assert.equal(budget.held, 0);
  budget.tryAcquire(1);
  assert.throws(() => budget.tryAcquire(150), { code: 'overloaded' });
});

test('bytes that are free are kept for a stream item that waits for them, and the error says so', async () => {
  const budget = createByteBudget('requestBytes', 100);
  const permit = budget.tryAcquire(60);
  const item = budget.acquire(50, new AbortController().signal);
  assert.throws(() => budget.tryAcquire(10), {
    code: 'overloaded',
    message:
      'requests in progress hold 60 bytes, and 10 more would exceed the limit of 100 (requestBytes) together with those that an ' +
      'item of a stream waits for; try again later',
  });
  permit.release();
  assert.equal((await item).weight, 50);
  budget.tryAcquire(10);
});
