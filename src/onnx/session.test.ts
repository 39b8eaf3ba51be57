import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { floats, numbers } from '../../test/support/graphs.js';
import { encodeModel } from './encode.js';
import { Graph } from './graph.js';
import { add, cast, exp } from './ops/elementwise.js';
import { matmul } from './ops/linear.js';
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

it('with wideSums, products of float16 with a bias add up in float32 on the CPU', async () => {
  const inner = 16_384;
  const graph = new Graph();
  const inHalf = (name: string, shape: readonly (number | string)[]) =>
    cast(graph.input(name, 'float32', shape), 'float16');
  const y = add(matmul(inHalf('x', ['batch', inner]), inHalf('weight', [inner, 2])), inHalf('bias', [2]));
  graph.output('y', cast(y, 'float32'));
  const ones = (shape: readonly number[]) => floats(shape, Array<number>(shape[0]! * (shape[1] ?? 1)).fill(1));
  const feeds = { x: ones([3, inner]), weight: ones([inner, 2]), bias: floats([2], [0, 16]) };
  const result = async (config: SessionConfig) => {
    const session = await createSession(encodeModel(graph), { threads: 1, ...config });
    const outputs = await runSession(session, feeds);
    await session.release();
    return numbers(outputs.get('y')!).slice(0, 2);
  };
  assert.deepEqual(await result({ wideSums: true }), [inner, inner + 16]);
  const [narrow] = await result({});
  assert.ok(
    narrow! < 0.9 * inner,
    `${narrow}: if this fails, ONNX Runtime adds up in float32, and wideSums is not needed`,
  );
});
