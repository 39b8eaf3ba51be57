import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createInMemoryGroup } from './inMemory.js';
import { deviceOfRank, type VisibleDevices, visibleDevices } from './rankDevice.js';

/** Devices of ranks on machines of `perMachine` ranks. */
function devices(given: readonly VisibleDevices[], perMachine = given.length) {
  const group = createInMemoryGroup(given.length).map((collectives, rank) => ({
    ...collectives,
    local: { rank: rank % perMachine, size: perMachine },
  }));
  return Promise.all(
    group.map((collectives, rank) => deviceOfRank(collectives, given[rank]!, `node${Math.floor(rank / perMachine)}`)),
  );
}

describe('the CUDA devices that a process sees', () => {
  it('are those of CUDA_VISIBLE_DEVICES, up to the first that is not one', async () => {
    const counts: (number | undefined)[] = [];
    for (const text of ['0', '2,5', 'GPU-8932f937,GPU-1', '1,-1,2', '-1', '', '0, 1'])
      counts.push((await visibleDevices({ CUDA_VISIBLE_DEVICES: text })).count);
    assert.deepEqual(counts, [1, 2, 2, 1, 0, 0, 2]);
  });

  it("are all of the driver's without the variable, and unknown without a driver", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-gpus-'));
    try {
      for (const name of ['0000:01:00.0', '0000:02:00.0']) await mkdir(join(folder, name));
      assert.deepEqual(await visibleDevices({}, folder), { variable: undefined, count: 2 });
      assert.deepEqual(await visibleDevices({}, join(folder, 'missing')), { variable: undefined, count: undefined });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the CUDA device of a rank', () => {
  const all = (count: number | undefined): VisibleDevices => ({ variable: undefined, count });
  const only = (variable: string): VisibleDevices => ({ variable, count: variable.split(',').length });

  it('is that of its number among the ranks of its machine', async () => {
    assert.deepEqual(await devices([all(4), all(4), all(4), all(4)], 2), [0, 1, 0, 1]);
    assert.deepEqual(await devices([all(undefined), all(undefined)]), [0, 1]);
    assert.deepEqual(await devices([only('4,5'), only('4,5')]), [0, 1]);
  });

  it('is the first of those that the launcher has given to it alone', async () => {
    assert.deepEqual(await devices([only('0'), only('1'), only('0'), only('1')], 2), [0, 0, 0, 0]);
    assert.deepEqual(await devices([only('0,1'), only('2,3')]), [0, 0]);
  });

  it('is left to CUDA in a process of its own', async () => {
    assert.deepEqual(await devices([all(8)]), [undefined]);
  });

  it('is an error on every rank if one has none', async () => {
    for (const [given, message] of [
      [
        [all(2), all(2), all(2)],
        'rank 2 has no GPU of its own: node0 has 3 ranks and 2 GPUs; start as many ranks on a machine as it has GPUs, or use --device cpu',
      ],
      [[only('3'), only('3')], /^rank 1 .* 2 ranks and 1 GPU \(CUDA_VISIBLE_DEVICES=3\);/],
      [[only('-1').variable, ''].map((variable) => ({ variable, count: 0 })), /^rank 0 .* 0 GPUs/],
    ] as const) {
      await assert.rejects(devices(given as readonly VisibleDevices[]), { name: 'RankDeviceError', message });
    }
  });
});
