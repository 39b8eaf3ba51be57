import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pipelined } from './pipelined.js';

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

async function all<T>(results: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const result of results) list.push(result);
  return list;
}

test('results are in the order of the items, whichever is ready first', async () => {
  const prepare = async (item: number) => {
    await turns((item * 7) % 5);
    return item * 10;
  };
  const started: number[] = [];
  const compute = async (prepared: number, item: number) => {
    started.push(item);
    await turns((item * 3) % 4);
    return `${item}: ${prepared}`;
  };
  for (const runs of [1, 2, 5]) {
    const found = await all(pipelined(7, prepare, compute, { runs }));
    assert.deepEqual(started.splice(0), [0, 1, 2, 3, 4, 5, 6]);
    assert.deepEqual(found, ['0: 0', '1: 10', '2: 20', '3: 30', '4: 40', '5: 50', '6: 60']);
  }
  assert.deepEqual(await all(pipelined(0, prepare, compute, { runs: 2 })), []);
});

test('items are prepared while others are computed, both within their limits', async () => {
  const maximum = { held: 0, computed: 0, preparedMeanwhile: 0 };
  let [held, computed] = [0, 0];
  const prepare = async () => {
    maximum.held = Math.max(maximum.held, ++held);
    if (computed > 0) maximum.preparedMeanwhile++;
    await turns(2);
  };
  const compute = async () => {
    maximum.computed = Math.max(maximum.computed, ++computed);
    await turns(6);
    computed--;
  };
  for await (const _ of pipelined(12, prepare, compute, { runs: 2, ahead: 2 })) held--;
  assert.equal(maximum.computed, 2);
  assert.equal(maximum.held, 4);
  assert.ok(maximum.preparedMeanwhile >= 6, `${maximum.preparedMeanwhile}`);
});

test('a failure is thrown in its turn, after all started work has ended, and later items are not computed', async () => {
  for (const broken of ['prepare', 'compute'] as const) {
    let active = 0;
    const computed: number[] = [];
    const found: number[] = [];
    const prepare = async (item: number) => {
      active++;
      await turns(item === 2 ? 1 : 8);
      active--;
      if (broken === 'prepare' && item === 2) throw new Error('item 2');
      return item;
    };
    const compute = async (item: number) => {
      active++;
      computed.push(item);
      await turns(3);
      active--;
      if (broken === 'compute' && item === 2) throw new Error('item 2');
      return item;
    };
    await assert.rejects(async () => {
      for await (const item of pipelined(20, prepare, compute, { runs: 2, ahead: 3 })) found.push(item);
    }, /^Error: item 2$/);
    assert.equal(active, 0, broken);
    assert.deepEqual(found, [0, 1]);
    assert.ok(Math.max(...computed) <= 5, `${computed}`);
  }
});
