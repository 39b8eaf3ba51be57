import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createInMemoryGroup } from './inMemory.js';
import { ownProcessors, type Processors, threadsOfRank } from './rankThreads.js';

/** Threads of ranks on machines of `perMachine` ranks. */
function threads(given: readonly Processors[], perMachine = given.length) {
  const group = createInMemoryGroup(given.length).map((collectives, rank) => ({
    ...collectives,
    local: { rank: rank % perMachine, size: perMachine },
  }));
  return Promise.all(
    group.map((collectives, rank) => threadsOfRank(collectives, given[rank]!, `node${Math.floor(rank / perMachine)}`)),
  );
}

/** A process that is bound to the processors from `start` on, and may use all of them. */
const on = (start: number, count: number, available = count): Processors => ({
  bound: Array.from({ length: count }, (_, i) => start + i),
  available,
});

describe('the threads of a rank', () => {
  it('are its part of processors that all ranks of the machine share', async () => {
    assert.deepEqual(await threads([on(0, 64), on(0, 64)]), [32, 32]);
    assert.deepEqual(await threads([on(0, 8), on(0, 8), on(0, 8)]), [2, 2, 2]);
    assert.deepEqual(await threads([on(0, 3), on(0, 3), on(0, 3)]), [1, 1, 1]);
    assert.deepEqual(await threads([on(0, 2), on(0, 2), on(0, 2)]), [1, 1, 1]);
  });

  it('are all processors to which the launcher has bound it alone', async () => {
    assert.deepEqual(await threads([on(0, 8), on(8, 8), on(16, 8)]), [8, 8, 8]);
    assert.deepEqual(await threads([on(0, 1), on(1, 1)]), [1, 1]);
  });

  it('are its part of a socket that some ranks share', async () => {
    const ranks = [0, 32, 0, 32, 0, 32, 0, 32].map((start) => on(start, 32));
    assert.deepEqual(await threads(ranks), Array(8).fill(8));
    // The first has processors 0 to 3, of which the second may use the last two.
    assert.deepEqual(await threads([on(0, 4), on(2, 4)]), [3, 3]);
  });

  it('are not divided by ranks of other machines', async () => {
    assert.deepEqual(await threads([on(0, 16), on(0, 16), on(0, 4), on(0, 4)], 2), [8, 8, 2, 2]);
  });

  it('keep within a quota', async () => {
    assert.deepEqual(await threads([on(0, 128, 64), on(0, 128, 64)]), [32, 32]);
  });

  it('are a part of all processors where the system does not tell which', async () => {
    const unbound = { bound: undefined, available: 10 };
    assert.deepEqual(await threads([unbound, unbound, unbound]), [3, 3, 3]);
  });
});

describe('the processors of a process', () => {
  it('are those of its list, and unknown without one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-status-'));
    try {
      const status = join(folder, 'status');
      await writeFile(status, 'Name:\tnode\nCpus_allowed:\t10f\nCpus_allowed_list:\t0-3,8\nMems_allowed:\t1\n');
      assert.deepEqual((await ownProcessors(status)).bound, [0, 1, 2, 3, 8]);
      assert.equal((await ownProcessors(join(folder, 'missing'))).bound, undefined);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
