import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../../test/support/graphs.js';
import { elementCount } from '../../tensor/tensor.js';
import { gradients } from '../gradients.js';
import { Graph, type Provider } from '../graph.js';
import { GraphError } from '../shapes.js';
import { columnSums } from './columnSums.js';
import { add, mul } from './elementwise.js';
import { reduceSum } from './reduce.js';

/** Sums over all but the last axis, in float64. */
function expectedSums(values: readonly number[], columns: number): number[] {
  const sums = Array<number>(columns).fill(0);
  values.forEach((value, i) => {
    sums[i % columns]! += value;
  });
  return sums;
}

describe('columnSums', () => {
  for (const shape of [
    [64, 3],
    [45, 7],
    [13, 2],
    [1, 4],
  ]) {
    it(`sums the rows of [${shape.join(', ')}], for any number of rows`, async () => {
      const values = normals(shape, 1);
      const { y } = await evaluate((feed) => ({ y: columnSums(feed(floats(shape, values))) }));
      assert.deepEqual(y.shape, [shape[1]]);
      assert.ok(relativeError(numbers(y), expectedSums(values, shape[1]!)) < 1e-5);
    });
  }

  it('rejects anything but a matrix of float32', () => {
    const graph = new Graph();
    assert.throws(() => columnSums(graph.input('x', 'float32', [2, 3, 4])), GraphError);
    assert.throws(() => columnSums(graph.input('d', 'float64', [2, 3])), GraphError);
  });
});

describe('the gradient of a vector that is broadcast over the rows of a large value', () => {
  // 2^19 elements: from there on the sum is a product
  const [shape, columns] = [[16, 32, 32, 32], 32];
  const gradientOf = (provider: Provider) => {
    const graph = new Graph(undefined, provider);
    const [x, bias] = [graph.input('x', 'float32', shape), graph.input('bias', 'float32', [columns])];
    gradients(reduceSum(mul(add(x, bias), x)), [bias]);
    return graph.nodes.map(({ operator }) => operator);
  };

  it('is their sum', async () => {
    const values = normals(shape, 2);
    assert.equal(values.length, elementCount(shape));
    const { y } = await evaluate((feed) => {
      const [x, bias] = [feed(floats(shape, values)), feed(floats([columns], normals([columns], 3)))];
      return { y: gradients(reduceSum(mul(add(x, bias), x)), [bias])[0]! };
    });
    assert.deepEqual(y.shape, [columns]);
    assert.ok(relativeError(numbers(y), expectedSums(values, columns)) < 1e-5);
  });

  it('is a product only on the CPU', () => {
    assert.ok(gradientOf('cpu').includes('MatMul'));
    assert.ok(!gradientOf('cuda').includes('MatMul'));
  });
});
