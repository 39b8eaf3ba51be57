import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { floats } from '../../test/support/graphs.js';
import { encodeModel } from './encode.js';
import { Graph } from './graph.js';
import { add, exp } from './ops/elementwise.js';
import { createSession, runSession, type SessionConfig, TRAINING_SESSION } from './session.js';

/** Number of nodes of a type that run in a graph that computes exp(x) twice. */
async function timesRun(config: SessionConfig): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'vicregl-session-'));
  try {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [3]);
    graph.output('y', add(exp(x), exp(x)));
    const session = await createSession(encodeModel(graph), {
      threads: 1,
      profile: join(folder, 'profile'),
      ...config,
    });
    await runSession(session, { x: floats([3], [1, 2, 3]) });
    session.endProfiling();
    await session.release();
    const [file] = await readdir(folder);
    const events = JSON.parse(await readFile(join(folder, file!), 'utf8')) as { name: string }[];
    return events.filter(({ name }) => /^Exp_\d+_kernel_time$/.test(name)).length;
  } finally {
    await rm(folder, { recursive: true });
  }
}

it('equal nodes are merged in a session, but not in that of a training step, which recomputes on purpose', async () => {
  assert.equal(await timesRun({}), 1);
  assert.equal(await timesRun(TRAINING_SESSION), 2);
});
