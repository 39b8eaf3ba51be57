import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DType } from '../../tensor/tensor.js';
import { Graph, type Value } from '../graph.js';
import { GraphError, type Shape } from '../shapes.js';
import { channelMajorConv } from './channelMajorConvolution.js';
import { conv, convTranspose } from './convolution.js';
import { add, greater, mul, where } from './elementwise.js';
import { gather, gatherElements, oneHot, smallest } from './indexing.js';
import { gemm, linear, matmul } from './linear.js';
import { layerNorm } from './normalisation.js';
import { maxPool } from './pool.js';
import { dequantizeLinear, quantizeLinear } from './quantise.js';
import { argMin, reduceMean, reduceSum } from './reduce.js';
import { concat, expand, pad, reshape, slice, transpose, unsqueeze } from './shape.js';

type Make = (shape: Shape, dtype?: DType) => Value;

/** Invalid calls and the error message that each must have. */
const bad: Record<string, readonly [(v: Make) => unknown, RegExp]> = {
  'add of shapes that do not broadcast': [
    (v) => add(v([2, 3]), v([4, 3])),
    /^Add: shapes \[2, 3\] and \[4, 3\] do not broadcast \(2 and 4\)$/,
  ],
  'add of a dynamic and a static size': [(v) => add(v(['batch', 3]), v([4, 3])), /^Add: .*\(batch and 4\)$/],
  'mul of different dtypes': [
    (v) => mul(v([2]), v([2], 'int64')),
    /^Mul: dtypes differ: float32 \[2\] and int64 \[2\]$/,
  ],
  'add of two numbers': [() => add(1, 2), /^Add: one operand must be a graph value, got 1 and 2$/],
  'comparison of shapes that do not broadcast': [(v) => greater(v([2]), v([3])), /^Greater: .*\(2 and 3\)/],
  'comparison of different dtypes': [(v) => greater(v([2]), v([2], 'int64')), /^Greater: dtypes differ/],
  'where without a bool': [(v) => where(v([2]), v([2]), v([2])), /^Where: the condition must be bool, got float32$/],
  'where of shapes that do not broadcast': [
    (v) => where(v([3], 'bool'), v([2]), v([1])),
    /^Where: .*\[3\] and \[2\].*\(3 and 2\)$/,
  ],
  'quantisation with a scale for each channel and no axis': [
    (v) => quantizeLinear(v([2, 3]), v([3]), v([3], 'uint8')),
    /^QuantizeLinear: float32 scale \[3\] and zero point \[3\] do not fit \[2, 3\]$/,
  ],
  'dequantisation with scales of another axis': [
    (v) => dequantizeLinear(v([2, 3], 'int8'), v([3]), v([3], 'int8'), 0),
    /^DequantizeLinear: .* do not fit \[2, 3\] along axis 0$/,
  ],
  'dequantisation with a zero point of another dtype': [
    (v) => dequantizeLinear(v([2], 'int8'), v([]), v([], 'uint8')),
    /^DequantizeLinear: dtypes differ: int8 input, uint8 zero point$/,
  ],
  'sum over a missing axis': [(v) => reduceSum(v([2, 3]), [2]), /^ReduceSum: axis 2 is outside the shape \[2, 3\]$/],
  'mean over a missing negative axis': [(v) => reduceMean(v([2]), [-2]), /^ReduceMean: axis -2 is outside .*\[2\]$/],
  'mean over half an axis': [(v) => reduceMean(v([2]), [0.5]), /^ReduceMean: axis 0\.5 is outside/],
  'argMin over a missing axis': [(v) => argMin(v([2]), 1), /^ArgMin: axis 1 is outside the shape \[2\]$/],
  'oneHot of floats': [(v) => oneHot(v([2]), 3), /^OneHot: indices must be int64, got float32$/],
  'reshape to another count': [(v) => reshape(v([2, 3]), [4, 2]), /^Reshape: \[2, 3\] does not fit into \[4, 2\]$/],
  'reshape with a remainder': [(v) => reshape(v([2, 3]), [4, -1]), /^Reshape: \[2, 3\] does not fit into \[4, -1\]$/],
  'reshape with two unknowns': [(v) => reshape(v([2, 3]), [-1, -1]), /^Reshape: .*\[-1, -1\]$/],
  'reshape of a dynamic shape': [(v) => reshape(v(['batch', 3]), [-1]), /^Reshape: .*\[batch, 3\] must be static$/],
  'transpose that repeats an axis': [
    (v) => transpose(v([2, 3]), [1, 1]),
    /^Transpose: \[1, 1\] does not permute the axes of \[2, 3\]$/,
  ],
  'transpose of another rank': [(v) => transpose(v([2, 3]), [0, 1, 2]), /^Transpose: .* \[2, 3\]$/],
  'unsqueeze past the output': [(v) => unsqueeze(v([2]), [2]), /^Unsqueeze: axes \[2\] do not fit \[2\]$/],
  'unsqueeze of one axis twice': [(v) => unsqueeze(v([2]), [1, -2]), /^Unsqueeze: axes \[1, -2\] do not fit \[2\]$/],
  'slice past the end': [
    (v) => slice(v([4]), [{ axis: 0, start: 2, end: 5 }]),
    /^Slice: range 2\.\.5 step 1 is outside axis 0 of \[4\]$/,
  ],
  'empty slice': [(v) => slice(v([4]), [{ axis: 0, start: 2, end: 2 }]), /^Slice: range 2\.\.2/],
  'slice without a step': [(v) => slice(v([4]), [{ axis: 0, start: 0, end: 2, step: 0 }]), /^Slice: .* step 0/],
  'slice of a missing axis': [
    (v) => slice(v([4]), [{ axis: 1, start: 0, end: 1 }]),
    /^Slice: axis 1 is outside the shape \[4\]$/,
  ],
  'slice of a dynamic axis': [
    (v) => slice(v(['n']), [{ axis: 0, start: 0, end: 1 }]),
    /^Slice: axis 0 of \[n\] must be static$/,
  ],
  'concat of nothing': [() => concat([], 0), /^Concat: needs at least one value$/],
  'concat of other sizes': [
    (v) => concat([v([2, 3]), v([2, 4])], 0),
    /^Concat: shapes \[2, 3\], \[2, 4\] do not join along axis 0$/,
  ],
  'concat of other ranks': [(v) => concat([v([2, 3]), v([3])], 0), /^Concat: shapes \[2, 3\], \[3\]/],
  'concat of other dtypes': [(v) => concat([v([2]), v([2], 'int64')], 0), /^Concat: shapes \[2\], \[2\]/],
  'expand to a smaller shape': [(v) => expand(v([2, 3]), [2, 1]), /^Expand: \[2, 3\] does not broadcast to \[2, 1\]$/],
  'expand to a lower rank': [(v) => expand(v([1, 3]), [3]), /^Expand: \[1, 3\] does not broadcast to \[3\]$/],
  'pad by another rank': [(v) => pad(v([2]), [1, 1], [0, 0]), /^Pad: \[1, 1\] and \[0, 0\] do not fit \[2\]$/],
  'pad by less than nothing': [(v) => pad(v([2]), [-1], [0]), /^Pad: \[-1\] and \[0\] do not fit \[2\]$/],
  'matmul of other inner sizes': [
    (v) => matmul(v([2, 3]), v([4, 5])),
    /^MatMul: float32 \[2, 3\] and float32 \[4, 5\] do not multiply$/,
  ],
  'matmul of a vector': [(v) => matmul(v([3]), v([3, 2])), /^MatMul: float32 \[3\]/],
  'matmul of other dtypes': [(v) => matmul(v([2, 3]), v([3, 2], 'float64')), /^MatMul: .* float64 \[3, 2\]/],
  'matmul of other batches': [(v) => matmul(v([2, 3, 3]), v([4, 3, 3])), /^MatMul: .*\(2 and 4\)$/],
  'gemm of other inner sizes': [
    (v) => gemm(v([2, 3]), v([2, 3]), { transA: true, transB: true }),
    /^Gemm: float32 \[2, 3\]\^T and \[2, 3\]\^T float32 do not multiply$/,
  ],
  'gemm with a bias of other width': [
    (v) => gemm(v([2, 3]), v([3, 4]), { bias: v([3]) }),
    /^Gemm: .*\[2, 4\] and \[3\]/,
  ],
  'gemm with a bias that is larger than the product': [
    (v) => gemm(v([1, 3]), v([3, 4]), { bias: v([2, 4]) }),
    /^Gemm: bias \[2, 4\] does not broadcast to \[1, 4\]$/,
  ],
  'linear of other inputs': [
    (v) => linear(v([2, 3]), v([5, 4])),
    /^Linear: input \[2, 3\] does not fit the weight \[5, 4\]$/,
  ],
  'linear with a bias of other width': [
    (v) => linear(v(['n', 3]), v([5, 3]), v([1])),
    /^Linear: bias \[1\] does not fit the weight \[5, 3\]$/,
  ],
  'conv of other channels': [
    (v) => conv(v([1, 3, 8, 8]), v([4, 2, 3, 3]), undefined),
    /^Conv: input \[1, 3, 8, 8\] and weight \[4, 2, 3, 3\] with 1 groups do not fit$/,
  ],
  'conv with outputs that no group divides': [
    (v) => conv(v([1, 4, 8, 8]), v([3, 2, 3, 3]), undefined, { groups: 2 }),
    /^Conv: .* with 2 groups do not fit$/,
  ],
  'conv of three axes': [(v) => conv(v([3, 8, 8]), v([4, 3, 3, 3]), undefined), /^Conv: .* must have four axes$/],
  'conv with a bias of other width': [
    (v) => conv(v([1, 3, 8, 8]), v([4, 3, 3, 3]), v([3])),
    /^Conv: bias \[3\] does not fit 4 output channels$/,
  ],
  'conv of other dtypes': [
    (v) => conv(v([1, 3, 8, 8]), v([4, 3, 3, 3], 'float64'), undefined),
    /^Conv: dtypes differ: float32 input, float64 weight$/,
  ],
  'conv with a kernel over the input': [
    (v) => conv(v([1, 3, 2, 8]), v([4, 3, 3, 3]), undefined),
    /^Conv: the kernel is larger than the padded input: .*\[1, 3, 2, 8\].*padding 0$/,
  ],
  'channel-major conv with a kernel over the input': [
    (v) => channelMajorConv(v([2, 2, 1, 1]), v([3, 2, 3, 3])),
    /^Conv: the kernel is larger than the padded input: .*\[2, 2, 1, 1\].*\[3, 2, 3, 3\], padding 0$/,
  ],
  'channel-major conv with a kernel that reaches over the columns alone': [
    (v) => channelMajorConv(v([2, 2, 8, 2]), v([3, 2, 3, 3]), { padding: 1, dilation: 2 }),
    /^Conv: the kernel is larger than the padded input: .*\[2, 2, 8, 2\].*padding 1$/,
  ],
  'max pooling with windows over the input': [
    (v) => maxPool(v([2, 2, 1, 1]), { size: 2, stride: 1, padding: 0 }),
    /^MaxPool: the kernel is larger than the padded input: input \[2, 2, 1, 1\] and windows of 2 x 2, padding 0$/,
  ],
  'max pooling with windows of padding alone': [
    (v) => maxPool(v([1, 1, 4, 4]), { size: 1, stride: 1, padding: 1 }),
    /^MaxPool: padding 1 is not smaller than the windows: input \[1, 1, 4, 4\] and windows of 1 x 1$/,
  ],
  'transposed conv of other channels': [
    (v) => convTranspose(v([1, 3, 4, 4]), v([4, 3, 3, 3]), [6, 6]),
    /^ConvTranspose: \[1, 3, 4, 4\] does not fit the weight \[4, 3, 3, 3\]$/,
  ],
  'layer norm of other channels': [
    (v) => layerNorm(v([2, 8]), v([4]), v([8]), 1e-6),
    /^LayerNormalization: input \[2, 8\] does not fit scale \[4\] and bias \[8\]$/,
  ],
  'layer norm with a matrix for a scale': [
    (v) => layerNorm(v([2, 8]), v([8, 1]), v([8]), 1e-6),
    /^LayerNormalization: .* scale \[8, 1\]/,
  ],
  'gather with float indices': [(v) => gather(v([4]), v([2]), 0), /^Gather: indices must be int64, got float32$/],
  'gather along a missing axis': [(v) => gather(v([4]), v([2], 'int64'), 1), /^Gather: axis 1 is outside .*\[4\]$/],
  'gatherElements of another rank': [
    (v) => gatherElements(v([4, 2]), v([4], 'int64'), 0),
    /^GatherElements: int64 indices \[4\] do not fit \[4, 2\] along axis 0$/,
  ],
  'gatherElements of another row count': [
    (v) => gatherElements(v([4, 2]), v([3, 1], 'int64'), 1),
    /^GatherElements: int64 indices \[3, 1\] do not fit \[4, 2\] along axis 1$/,
  ],
  'more smallest than there are': [(v) => smallest(v([2, 3]), 4), /^TopK: k = 4 is outside 1\.\.3 of \[2, 3\]$/],
  'no smallest': [(v) => smallest(v([2, 3]), 0), /^TopK: k = 0 is outside 1\.\.3/],
  'two and a half smallest': [(v) => smallest(v([2, 3]), 2.5), /^TopK: k = 2\.5 is outside 1\.\.3/],
};

describe('a wrong shape is an error at the call with operator and dimensions', () => {
  for (const [what, [call, message]] of Object.entries(bad)) {
    it(what, () => {
      const graph = new Graph();
      let count = 0;
      const make: Make = (shape, dtype = 'float32') => graph.input(`v${count++}`, dtype, shape);
      assert.throws(
        () => call(make),
        (error: unknown) => {
          assert.ok(error instanceof GraphError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
      assert.equal(graph.nodes.length, 0, 'nothing may be emitted before the check');
    });
  }
});
