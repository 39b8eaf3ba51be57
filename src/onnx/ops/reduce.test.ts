import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, floats, normals, numbers, relativeError } from '../../../test/support/graphs.js';
import { elementCount } from '../../tensor/tensor.js';
import { gradients } from '../gradients.js';
import { Graph } from '../graph.js';
import { mul } from './elementwise.js';
import { reduceMean, reduceSum, sumOfSquares } from './reduce.js';

describe('reductions over all elements', () => {
  for (const shape of [[8_000_000], [8_000_000, 1], [64, 125, 1000]]) {
    it(`of [${shape.join(', ')}] in float32 are accurate to 1e-5`, async () => {
      // Of one sign, so that the sum grows far beyond its terms.
      const value = Math.fround(0.1);
      const x = floats(shape, Array<number>(elementCount(shape)).fill(value));
      const { sum, mean, squares } = await evaluate((feed) => {
        const input = feed(x);
        return { sum: reduceSum(input), mean: reduceMean(input), squares: sumOfSquares(input) };
      });
      const count = elementCount(shape);
      for (const [actual, expected] of [
        [sum, count * value],
        [mean, value],
        [squares, count * value ** 2],
      ] as const) {
        assert.deepEqual(actual.shape, []);
        assert.ok(relativeError(numbers(actual), [expected]) < 1e-5, `${numbers(actual)}, expected ${expected}`);
      }
    });
  }

  it('are the same for numbers of elements that no rows share, and pass on the gradients of one step', async () => {
    for (const shape of [[4096], [4099], [64, 65], [2, 4099]]) {
      const values = normals(shape, 1);
      const count = elementCount(shape);
      const { sum, mean, toSum, toMean } = await evaluate((feed) => {
        const x = feed(doubles(shape, values));
        const [s, m] = [reduceSum(x), reduceMean(x)];
        return { sum: s, mean: m, toSum: gradients(mul(s, 3), [x])[0]!, toMean: gradients(mul(m, 3), [x])[0]! };
      });
      const expected = values.reduce((total, value) => total + value, 0);
      assert.ok(Math.abs(numbers(sum)[0]! - expected) < 1e-10, `${shape}`);
      assert.ok(Math.abs(numbers(mean)[0]! - expected / count) < 1e-12, `${shape}`);
      assert.deepEqual([toSum.shape, toMean.shape], [shape, shape]);
      assert.ok(relativeError(numbers(toSum), Array(count).fill(3)) < 1e-14);
      assert.ok(relativeError(numbers(toMean), Array(count).fill(3 / count)) < 1e-14);
    }
  });

  it('of few elements, and of those whose number is unknown, take one step', () => {
    const graph = new Graph();
    reduceSum(graph.input('few', 'float32', [63, 65]));
    reduceMean(graph.input('unknown', 'float32', ['batch', 100_000]));
    assert.deepEqual(
      graph.nodes.map(({ operator }) => operator),
      ['ReduceSum', 'ReduceMean'],
    );
  });
});
