import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inOrder } from './inOrder.js';

it('the error of the first item is reported, also where a later one would fail sooner', async () => {
  const begun: string[] = [];
  const failing = inOrder(['slow', 'fast'], async (name) => {
    begun.push(name);
    if (name === 'slow') for (let turn = 0; turn < 5; turn++) await nextTurn();
    throw new Error(name);
  });
  await assert.rejects(failing, { message: 'slow' });
  assert.deepEqual(begun, ['slow']);
});

it('results are in the order of the items', async () => {
  assert.deepEqual(await inOrder(['a', 'b'], async (name, i) => `${name}${i}`), ['a0', 'b1']);
});
