import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { floats } from '../../test/support/graphs.js';
import '../../test/support/sharedSessions.js';
import { createInMemoryGroup } from '../distributed/inMemory.js';
import { type Tensor, zeros } from '../tensor/tensor.js';
import { encodeModel } from './encode.js';
import { gradients } from './gradients.js';
import { Graph } from './graph.js';
import { add, mul } from './ops/elementwise.js';
import { sumAcrossRanks } from './ops/exchange.js';
import { reduceSum } from './ops/reduce.js';
import { splitAtExchanges } from './split.js';
import { createStagedSession } from './stagedSession.js';

/** y = sum over ranks of x^2; loss = sum(w y x + y), with its gradients. */
function build() {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [2]);
  const w = graph.input('w', 'float32', [2]);
  const y = sumAcrossRanks(mul(x, x));
  const loss = reduceSum(add(mul(mul(w, y), x), y));
  const [gx, gw] = gradients(loss, [x, w]);
  graph.output('y', y);
  graph.output('loss', loss);
  graph.output('gx', gx!);
  graph.output('gw', gw!);
  graph.output('same', x);
  return graph;
}

describe('a graph with sums over ranks', () => {
  it('is not encoded as a whole, and is split where they are', () => {
    const graph = build();
    assert.throws(() => encodeModel(graph), /is summed over ranks: split the graph/);
    const stages = splitAtExchanges(graph);
    // Before the sums: x^2, and w x + 1, the gradient with respect to y.
    assert.deepEqual(
      stages.map(({ exchanges }) => exchanges.length),
      [2, 0],
    );
    assert.deepEqual(
      stages.map(({ graph: { outputs } }) => [...outputs.keys()].filter((name) => !name.startsWith('cut/'))),
      [['same'], ['y', 'loss', 'gx', 'gw']],
    );
  });

  it('gives what the ranks compute together, with the gradients of the sum of their losses', async () => {
    const [xs, w] = [
      [
        [1, 2],
        [3, -1],
      ],
      [0.5, 2],
    ] as const;
    const results = await Promise.all(
      createInMemoryGroup(2).map(async ({ rank, allReduceSum }) => {
        const session = await createStagedSession(build(), { threads: 1 }, allReduceSum);
        const inputs = new Map<string, Tensor>([
          ['x', floats([2], xs[rank]!)],
          ['w', floats([2], w)],
        ]);
        const shapes = { y: [2], loss: [], gx: [2], gw: [2], same: [2] };
        const outputs = new Map(Object.entries(shapes).map(([name, shape]) => [name, zeros('float32', shape)]));
        await session.run((name) => inputs.get(name)!, outputs);
        await session.close();
        return Object.fromEntries([...outputs].map(([name, { data }]) => [name, [...(data as Float32Array)]]));
      }),
    );
    const y = [1 + 9, 4 + 1];
    // d/dx of the losses of both ranks: w y, and 2 x times what both have before y: w x + 1
    const before = [0, 1].map((i) => xs.reduce((sum, x) => sum + w[i]! * x[i]! + 1, 0));
    results.forEach((result, rank) => {
      const x = xs[rank]!;
      assert.deepEqual(result['y'], y);
      assert.deepEqual(result['same'], [...x]);
      assert.deepEqual(result['loss'], [x.reduce((sum, value, i) => sum + w[i]! * y[i]! * value + y[i]!, 0)]);
      assert.deepEqual(
        result['gw'],
        x.map((value, i) => y[i]! * value),
      );
      assert.deepEqual(
        result['gx'],
        x.map((value, i) => w[i]! * y[i]! + 2 * value * before[i]!),
      );
    });
  });
});
