import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createInMemoryGroup } from './inMemory.js';
import { timed } from './timed.js';

it('a clock counts the time of the operations, and that in which a rank waits for others', async () => {
  const [early, late] = createInMemoryGroup(2).map(timed) as [ReturnType<typeof timed>, ReturnType<typeof timed>];
  const values = [Float32Array.of(1), Float32Array.of(2)] as const;
  await Promise.all([early.allReduceSum(values[0]), delay(50).then(() => late.allReduceSum(values[1]))]);
  assert.deepEqual([...values[0], ...values[1]], [3, 3]);
  assert.ok(early.spentMs() >= 45 && late.spentMs() < early.spentMs(), `${early.spentMs()} ${late.spentMs()}`);
  const before = early.spentMs();
  await delay(20);
  assert.equal(early.spentMs(), before);
  assert.deepEqual([early.rank, late.rank, early.size], [0, 1, 2]);
});
