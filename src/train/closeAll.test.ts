import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeAll, thenClose } from './closeAll.js';

test('closes in order, and continues with the rest when one fails', async () => {
  const closed: number[] = [];
  const thing = (i: number, error?: Error) => ({
    close: async () => {
      closed.push(i);
      if (error) throw error;
    },
  });
  await assert.rejects(closeAll([thing(0), thing(1, new Error('full disk')), thing(2)]), /full disk/);
  assert.deepEqual(closed, [0, 1, 2]);
});

test('closes after work, whose own error is the one that is thrown', async () => {
  let closed = 0;
  const full = {
    close: async () => {
      closed++;
      throw new Error('full disk');
    },
  };
  await assert.rejects(
    thenClose([full], () => Promise.reject(new Error('diverged'))),
    /diverged/,
  );
  await assert.rejects(
    thenClose([full], () => Promise.resolve(1)),
    /full disk/,
  );
  assert.equal(await thenClose([], () => Promise.resolve(1)), 1);
  assert.equal(closed, 2);
});
