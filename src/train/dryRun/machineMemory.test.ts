import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { machineMemory } from './machineMemory.js';

const GIB = 2 ** 30;

/** The result with a file system of these files, on a machine of 16 GiB. */
async function found(files: Readonly<Record<string, string>>) {
  const root = await mkdtemp(join(tmpdir(), 'vicregl-cgroup-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), `${text}\n`);
    }
    return await machineMemory(root, 16 * GIB);
  } finally {
    await rm(root, { recursive: true });
  }
}

describe('the memory of the machine', () => {
  it('is the total without cgroups, and without a limit in them', async () => {
    const all = { bytes: 16 * GIB, limit: 'machine' };
    assert.deepEqual(await found({}), all);
    assert.deepEqual(await found({ 'proc/self/cgroup': '0::/a', 'sys/fs/cgroup/a/memory.max': 'max' }), all);
    const unlimited = { 'sys/fs/cgroup/memory/a/memory.limit_in_bytes': '9223372036854771712' };
    assert.deepEqual(await found({ 'proc/self/cgroup': '4:memory:/a\n0::/', ...unlimited }), all);
  });

  it('is the limit of a container, of version 2 and of version 1', async () => {
    const limited = { bytes: 2 * GIB, limit: 'cgroup' };
    const inside = { 'proc/self/cgroup': '0::/', 'sys/fs/cgroup/memory.max': String(2 * GIB) };
    assert.deepEqual(await found(inside), limited);
    const first = { 'sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes': String(2 * GIB) };
    assert.deepEqual(await found({ 'proc/self/cgroup': '5:cpu:/\n4:hugetlb,memory:/docker/x', ...first }), limited);
    // The host's path, of which the container sees its own group as the root.
    const root = { 'sys/fs/cgroup/memory/memory.limit_in_bytes': String(2 * GIB) };
    assert.deepEqual(await found({ 'proc/self/cgroup': '4:memory:/docker/x', ...root }), limited);
  });

  it('is the smallest limit of the groups above', async () => {
    const slice = {
      'proc/self/cgroup': '0::/user.slice/run.scope',
      'sys/fs/cgroup/user.slice/run.scope/memory.max': String(8 * GIB),
      'sys/fs/cgroup/user.slice/memory.max': String(3 * GIB),
    };
    assert.deepEqual(await found(slice), { bytes: 3 * GIB, limit: 'cgroup' });
  });
});
