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

/** No nvidia-smi. */
const unknown = async () => undefined;

describe('the CUDA devices that a process sees', () => {
  it('are those of CUDA_VISIBLE_DEVICES, up to the first that is not one', async () => {
    const counts: (number | undefined)[] = [];
    for (const text of ['0', '2,5', 'GPU-8932f937,GPU-1', '1,-1,2', '-1', '', '0, 1'])
      counts.push((await visibleDevices({ CUDA_VISIBLE_DEVICES: text }, 'none', unknown)).count);
    assert.deepEqual(counts, [1, 2, 2, 1, 0, 0, 2]);
  });

  it("are all of the driver's without the variable, and unknown without a driver", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-gpus-'));
    try {
      for (const name of ['0000:01:00.0', '0000:02:00.0']) await mkdir(join(folder, name));
      assert.deepEqual(await visibleDevices({}, folder, unknown), { variable: undefined, count: 2 });
      assert.deepEqual(await visibleDevices({}, join(folder, 'missing'), unknown), {
        variable: undefined,
        count: undefined,
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the UUIDs of the CUDA devices that a process sees', () => {
  const list = async () =>
    'GPU 0: NVIDIA H200 (UUID: GPU-1a-0)\nGPU 1: NVIDIA H200 (UUID: GPU-2b-0)\nGPU 2: NVIDIA H200 (UUID: GPU-3c-0)\n';
  const seen = (variable: string | undefined, print: () => Promise<string | undefined> = list) =>
    visibleDevices({ CUDA_VISIBLE_DEVICES: variable }, 'none', print);

  it('are those of nvidia-smi, in the order of CUDA_VISIBLE_DEVICES', async () => {
    const uuids = ['GPU-1a-0', 'GPU-2b-0', 'GPU-3c-0'];
    assert.deepEqual(await seen(undefined), { variable: undefined, count: 3, uuids });
    assert.deepEqual(await seen('2,0'), { variable: '2,0', count: 2, uuids: ['GPU-3c-0', 'GPU-1a-0'] });
    assert.deepEqual(await seen('GPU-2b,-1,0'), { variable: 'GPU-2b,-1,0', count: 1, uuids: ['GPU-2b-0'] });
  });

  it('are unknown for a device that it does not list, for parts of GPUs, and without it', async () => {
    const parts = async () => 'GPU 0: NVIDIA A100 (UUID: GPU-1a-0)\n  MIG 1g.5gb     Device  0: (UUID: MIG-9-0)\n';
    assert.deepEqual(await seen('5'), { variable: '5', count: 1 });
    assert.deepEqual(await seen('MIG-9-0', parts), { variable: 'MIG-9-0', count: 1 });
    assert.deepEqual(await seen('0', unknown), { variable: '0', count: 1 });
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

  it('is one of those to which the launcher has bound it with others', async () => {
    assert.deepEqual(await devices([only('2,3'), only('2,3'), only('0,1'), only('0,1')]), [0, 1, 0, 1]);
    assert.deepEqual(await devices([only('1,0'), only('1,2')]), [0, 1]);
  });

  it('is its own where a cgroup shows each rank its own as the first', async () => {
    const first = (uuid: string): VisibleDevices => ({ variable: '0', count: 1, uuids: [uuid] });
    assert.deepEqual(await devices([first('GPU-1'), first('GPU-2'), first('GPU-1'), first('GPU-2')], 2), [0, 0, 0, 0]);
    await assert.rejects(devices([first('GPU-1'), first('GPU-1')]), { name: 'RankDeviceError', message: /^rank 1 / });
  });

  it('is left to CUDA in a process of its own', async () => {
    assert.deepEqual(await devices([all(8)]), [undefined]);
  });

  it('is an error on every rank if one has none', async () => {
    for (const [given, message] of [
      [
        [all(2), all(2), all(2)],
        'rank 2 has no GPU of its own: node0 has 3 ranks, and this one sees 2 GPUs; start as many ranks on a machine as it has GPUs, or use --device cpu',
      ],
      [[only('3'), only('3')], /^rank 1 .* 2 ranks, and this one sees 1 GPU \(CUDA_VISIBLE_DEVICES=3\);/],
      [[only('-1').variable, ''].map((variable) => ({ variable, count: 0 })), /^rank 0 .* 0 GPUs/],
    ] as const) {
      await assert.rejects(devices(given as readonly VisibleDevices[]), { name: 'RankDeviceError', message });
    }
  });
});
