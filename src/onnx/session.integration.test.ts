import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { it } from 'node:test';

const module = (name: string) => JSON.stringify(new URL(`./${name}.js`, import.meta.url).href);

/** A session that cannot be created, as no kernel multiplies bfloat16 on the CPU, and a run that fails, by an index out of range. */
const program = `
  import { encodeModel } from ${module('encode')};
  import { Graph } from ${module('graph')};
  import { gather } from ${module('ops/indexing')};
  import { matmul } from ${module('ops/linear')};
  import { createSession, runSession } from ${module('session')};
  const messageOf = (promise) => promise.then(() => 'no error', ({ message }) => message);
  const unknown = new Graph();
  const [a, b] = ['a', 'b'].map((name) => unknown.input(name, 'float32', [2, 2]));
  unknown.output('y', unknown.productsIn('bfloat16', () => matmul(a, b)));
  const graph = new Graph();
  graph.output('y', gather(graph.input('x', 'float32', [4]), graph.input('at', 'int64', [1]), 0));
  const session = await createSession(encodeModel(graph));
  const x = { dtype: 'float32', shape: [4], data: new Float32Array(4) };
  const at = { dtype: 'int64', shape: [1], data: new BigInt64Array([9n]) };
  console.log(JSON.stringify([
    await messageOf(createSession(encodeModel(unknown))),
    await messageOf(runSession(session, { x, at })),
  ]));
`;

it('errors of sessions and of their runs are thrown, and not printed', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const [created, ran] = JSON.parse(stdout) as string[];
  assert.match(created!, /Could not find an implementation for MatMul/);
  assert.match(ran!, /indices element out of data bounds, idx=9/);
  assert.equal(stderr, '');
});
