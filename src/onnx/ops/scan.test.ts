import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { floats, numbers } from '../../../test/support/graphs.js';
import { encodeModel } from '../encode.js';
import { Graph } from '../graph.js';
import { createSession, runSession } from '../session.js';
import { add, mul } from './elementwise.js';
import { reduceSum } from './reduce.js';
import { type ScanBinding, scan } from './scan.js';

/** weight <- weight + x * factor; logged: sum of the new weight. Its names also occur in the outer graph. */
function body(): Graph {
  const graph = new Graph();
  const weight = graph.input('weight', 'float32', [2]);
  const factor = graph.input('factor', 'float32', []);
  const x = graph.input('x', 'float32', [2]);
  const next = add(mul(x, factor), weight);
  graph.output('weight/updated', next);
  graph.output('total', reduceSum(next));
  graph.output('unused', mul(x, 3));
  return graph;
}

function outer(change: (binding: ScanBinding, graph: Graph) => ScanBinding = (binding) => binding): Graph {
  const graph = new Graph();
  const binding: ScanBinding = {
    state: [{ input: 'weight', initial: graph.input('weight', 'float32', [2]), output: 'weight/updated' }],
    slices: [
      { input: 'x', stacked: graph.input('x', 'float32', ['repeats', 2]) },
      { input: 'factor', stacked: graph.input('factor', 'float32', ['repeats']) },
    ],
    collected: ['total'],
  };
  const { state, collected } = scan(body(), change(binding, graph));
  graph.output('weight/updated', state[0]!);
  graph.output('total', collected[0]!);
  return graph;
}

describe('scan', () => {
  it('passes on the state, gives each repetition its slice and collects outputs, for any number of repetitions', async () => {
    const session = await createSession(encodeModel(outer()), { threads: 1 });
    const weight = floats([2], [1, 2]);
    const three = await runSession(session, {
      weight,
      x: floats([3, 2], [1, 0, 0, 1, 1, 1]),
      factor: floats([3], [10, 100, 1000]),
    });
    assert.deepEqual(numbers(three.get('weight/updated')!), [1011, 1102]);
    assert.deepEqual(three.get('total')!.shape, [3]);
    assert.deepEqual(numbers(three.get('total')!), [13, 113, 2113]);
    const once = await runSession(session, { weight, x: floats([1, 2], [1, 1]), factor: floats([1], [1]) });
    assert.deepEqual(numbers(once.get('weight/updated')!), [2, 3]);
    await session.release();
  });

  const refused: Record<string, [(binding: ScanBinding, graph: Graph) => ScanBinding, RegExp]> = {
    'an input that nothing is bound to': [
      (b) => ({ ...b, slices: [b.slices[0]!] }),
      /input "factor" is bound to nothing/,
    ],
    'a name that the body lacks': [
      (b, graph) => ({
        ...b,
        slices: [...b.slices, { input: 'y', stacked: graph.input('y', 'float32', ['repeats']) }],
      }),
      /no input "y"/,
    ],
    'an output that the body lacks': [(b) => ({ ...b, collected: ['mean'] }), /no output "mean"/],
    'a state of another shape': [
      (b, graph) => ({
        ...b,
        state: [{ input: 'weight', initial: graph.input('w', 'float32', [3]), output: 'weight/updated' }],
      }),
      /"weight" is float32 \[2\], given float32 \[3\]/,
    ],
    'stacked values of different lengths': [
      (b, graph) => ({ ...b, slices: [b.slices[0]!, { input: 'factor', stacked: graph.input('f', 'float32', [4]) }] }),
      /"factor" is float32 \[repeats\], given float32 \[4\]/,
    ],
    'nothing to repeat over': [(b) => ({ ...b, slices: [] }), /at least one stacked value/],
  };
  for (const [name, [change, message]] of Object.entries(refused)) {
    it(`rejects ${name}`, () => assert.throws(() => outer(change), message));
  }
});
