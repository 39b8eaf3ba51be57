import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeAll } from './closeAll.js';

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
