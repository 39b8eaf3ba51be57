import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { floats } from '../../test/support/graphs.js';
import { tensor } from '../tensor/tensor.js';
import { encodeModel } from './encode.js';
import { foldConstants } from './foldConstants.js';
import { EXPORT_OPSET, Graph, type Value } from './graph.js';
import { add, cast, mul, neg, relu } from './ops/elementwise.js';
import { smallest } from './ops/indexing.js';
import { transpose } from './ops/shape.js';
import { consumers, rewriteGraph } from './rewrite.js';
import { createSession, runSession } from './session.js';

async function run(graph: Graph, x: readonly number[]): Promise<Record<string, number[]>> {
  const session = await createSession(encodeModel(graph), { threads: 1 });
  try {
    const outputs = await runSession(session, { x: floats([x.length], x) });
    return Object.fromEntries([...outputs].map(([name, { data }]) => [name, Array.from(data as Float32Array)]));
  } finally {
    await session.release();
  }
}

/** y = 2 relu(x + 1), and its half as another output. */
function example(): { graph: Graph; inner: Value } {
  const graph = new Graph(EXPORT_OPSET);
  const inner = graph.scope('layer', () => relu(add(graph.input('x', 'float32', ['n']), 1)));
  graph.output('half', inner);
  graph.output('y', mul(inner, 2), ['rows']);
  neg(inner); // nothing depends on it
  return { graph, inner };
}

describe('rewriteGraph', () => {
  it('copies inputs, outputs, declared shapes and scopes, without nodes that no output depends on', async () => {
    const { graph } = example();
    const copy = rewriteGraph(graph, () => undefined);
    assert.deepEqual(await run(copy, [-3, 2]), await run(graph, [-3, 2]));
    assert.deepEqual(
      copy.nodes.map(({ operator, name }) => [operator, name.split('/').slice(0, -1).join('/')]),
      [
        ['Add', 'layer'],
        ['Relu', 'layer'],
        ['Mul', ''],
      ],
    );
    assert.equal(copy.opset, EXPORT_OPSET);
    assert.deepEqual(copy.declaredShapes.get('y'), ['rows']);
  });

  it('replaces a node by other values, and does not change the source', async () => {
    const { graph } = example();
    const negated = rewriteGraph(graph, (node, { of }) =>
      node.operator === 'Relu' ? [neg(of(node.inputs[0]!))] : undefined,
    );
    assert.deepEqual(await run(negated, [-3, 2]), { half: [2, -3], y: [4, -6] });
    assert.deepEqual(await run(graph, [-3, 2]), { half: [0, 3], y: [0, 6] });
  });

  it('outputs inner values of the source on request', async () => {
    const { graph } = example();
    const sum = graph.nodes[0]!.outputs[0]!;
    assert.deepEqual(
      await run(
        rewriteGraph(graph, () => undefined, new Map([['sum', sum]])),
        [-3, 2],
      ),
      {
        sum: [-2, 3],
      },
    );
  });
});

it('consumers lists a node once, however often it reads a value', () => {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [1]);
  const square = mul(x, x);
  assert.deepEqual(consumers(graph).get(x), [square.node]);
  assert.equal(consumers(graph).get(square), undefined);
});

describe('foldConstants', () => {
  it('computes values that depend only on constants, through several nodes and dtypes, and keeps the rest', async () => {
    const graph = new Graph(EXPORT_OPSET);
    const x = graph.input('x', 'float32', [2]);
    const halves = graph.constant({ dtype: 'float16', shape: [1, 2], data: Uint16Array.of(0x3c00, 0x4000) }, 'weights');
    const column = transpose(cast(halves, 'float32'), [1, 0]);
    const row = transpose(add(column, 1), [1, 0]);
    graph.output('y', mul(x, row));
    graph.output('fixed', row);
    const folded = await foldConstants(graph);
    assert.deepEqual(
      folded.nodes.map(({ operator }) => operator),
      ['Mul'],
    );
    assert.deepEqual(await run(folded, [10, 10]), { y: [20, 30], fixed: [2, 3] });
  });

  it('computes the later outputs of a node whose first one nothing reads', async () => {
    const graph = new Graph(EXPORT_OPSET);
    const x = graph.input('x', 'float32', [2]);
    const { indices } = smallest(graph.constant(tensor('float32', [3], Float32Array.of(5, 1, 2))), 2);
    graph.output('y', mul(x, cast(indices, 'float32')));
    const folded = await foldConstants(graph);
    assert.deepEqual(
      folded.nodes.map(({ operator }) => operator),
      ['Mul'],
    );
    assert.deepEqual(await run(folded, [10, 10]), { y: [10, 20] });
  });
});
