import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createByteBudget } from './byteBudget.js';

test('messages are held up to the limit, and fit again when others are given back', () => {
  const budget = createByteBudget(100);
  const giveBack = budget.take(60);
  assert.throws(() => budget.take(41), {
    code: 'overloaded',
    limit: { name: 'requestBytes', value: 100 },
    message: /60 bytes .* 41 bytes .* limit of 100; try again/,
  });
  assert.equal(budget.held, 60, 'what is refused is not counted');
  budget.take(40);
  giveBack();
  assert.equal(budget.held, 40);
  budget.take(60);
});

test('one larger than the limit fits when nothing else is held', () => {
  const budget = createByteBudget(100);
  const giveBack = budget.take(150);
  assert.equal(budget.held, 100);
  assert.throws(() => budget.take(1), { code: 'overloaded' });
  giveBack();
  assert.equal(budget.held, 0);
  budget.take(1);
  assert.throws(() => budget.take(150), { code: 'overloaded' });
});
