import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { gradients } from '../onnx/gradients.js';
import type { Value } from '../onnx/graph.js';
import { conv } from '../onnx/ops/convolution.js';
import { add, mul } from '../onnx/ops/elementwise.js';
import { reduceSum } from '../onnx/ops/reduce.js';
import { transpose } from '../onnx/ops/shape.js';
import { depthwiseProduct } from './depthwiseProduct.js';

function depthwiseConv(x: Value, weight: Value): Value {
  const [channels, , size] = weight.shape as readonly [number, number, number];
  const y = conv(transpose(x, [0, 3, 1, 2]), weight, undefined, { padding: (size - 1) / 2, groups: channels });
  return transpose(y, [0, 2, 3, 1]);
}

/** Output and gradients of a weighted sum, by one of the two methods. */
async function run(layer: typeof depthwiseConv, shape: readonly number[], size: number) {
  const channels = shape[3]!;
  const { y, gx, gw } = await evaluate((feed) => {
    const x = feed(floats(shape, normals(shape, 1)));
    const weight = feed(floats([channels, 1, size, size], normals([channels, 1, size, size], 2)));
    const output = layer(x, weight);
    const loss = reduceSum(mul(output, feed(floats(shape, normals(shape, 3)))));
    const [towardsInput, towardsWeight] = gradients(loss, [x, weight]);
    return { y: output, gx: towardsInput!, gw: towardsWeight! };
  });
  return [y, gx, gw].map(numbers);
}

describe('depthwiseProduct', () => {
  for (const [shape, size] of [
    [[2, 4, 4, 3], 7],
    [[1, 9, 5, 2], 7],
    [[3, 1, 1, 4], 7],
    [[2, 5, 6, 2], 3],
  ] as const) {
    it(`equals the convolution with ${size} x ${size} kernels on [${shape.join(', ')}], with both gradients`, async () => {
      const [product, convolution] = [await run(depthwiseProduct, shape, size), await run(depthwiseConv, shape, size)];
      ['output', 'input gradient', 'weight gradient'].forEach((what, i) => {
        const error = relativeError(product[i]!, convolution[i]!);
        assert.ok(error < 1e-5, `${what}: relative error ${error}`);
      });
    });
  }

  it('shares the matrix of a kernel between the views of one size, and sums their gradients', async () => {
    const shape = [1, 3, 3, 2];
    const both = async (layer: typeof depthwiseConv) => {
      const { gw } = await evaluate((feed) => {
        const weight = feed(floats([2, 1, 3, 3], normals([2, 1, 3, 3], 4)));
        const views = [5, 6].map((seed) => layer(feed(floats(shape, normals(shape, seed))), weight));
        const loss = reduceSum(mul(views[0]!, add(views[1]!, 1)));
        return { gw: gradients(loss, [weight])[0]! };
      });
      return numbers(gw);
    };
    assert.ok(relativeError(await both(depthwiseProduct), await both(depthwiseConv)) < 1e-5);
  });
});
