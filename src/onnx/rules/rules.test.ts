import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tensor } from '../../tensor/tensor.js';
import { gradients } from '../gradients.js';
import { EXPORT_OPSET, Graph, type Value } from '../graph.js';
import { channelMajorConv } from '../ops/channelMajorConvolution.js';
import { conv } from '../ops/convolution.js';
import { differentiateBy, stopGradient } from '../ops/differentiation.js';
import * as e from '../ops/elementwise.js';
import { gather, gatherElements, smallest } from '../ops/indexing.js';
import { gemm, linear, matmul } from '../ops/linear.js';
import { batchNorm, layerNorm } from '../ops/normalisation.js';
import { maxPool } from '../ops/pool.js';
import { argMin, logSoftmax, reduceMean, reduceSum } from '../ops/reduce.js';
import { concat, expand, pad, reshape, slice, transpose, unsqueeze } from '../ops/shape.js';
import { GraphError } from '../shapes.js';
import { compareGradients, type GradientCase } from './numericGradient.js';
import { gradientRules } from './table.js';

const indices = (graph: Graph, shape: number[], values: number[]) =>
  graph.constant(tensor('int64', shape, BigInt64Array.from(values, BigInt)));
const mask = (graph: Graph, shape: number[], values: number[]) =>
  graph.constant(tensor('bool', shape, Uint8Array.from(values)));

type Binary = (a: Value, b: Value) => Value;
const twoOperands = (operator: Binary, range?: readonly [number, number]): Record<string, GradientCase> => {
  const ranged = range === undefined ? {} : { range };
  return {
    'same shapes': {
      shapes: [
        [2, 3],
        [2, 3],
      ],
      build: ([a, b]) => operator(a!, b!),
      ...ranged,
    },
    'left broadcast': { shapes: [[3], [2, 3]], build: ([a, b]) => operator(a!, b!), ...ranged },
    'right broadcast': {
      shapes: [
        [2, 3, 4],
        [3, 1],
      ],
      build: ([a, b]) => operator(a!, b!),
      ...ranged,
    },
    'one operand twice': { shapes: [[2, 3]], build: ([a]) => operator(a!, a!), ...ranged },
  };
};
const oneOperand = (operator: (x: Value) => Value, more: Partial<GradientCase> = {}): Record<string, GradientCase> => ({
  elementwise: { shapes: [[3, 4]], build: ([x]) => operator(x!), ...more },
});
const float32 = { dtype: 'float32' } as const;

/** Cases for every rule of the table, by operator. */
const cases: Record<string, Record<string, GradientCase>> = {
  Add: twoOperands(e.add),
  Sub: twoOperands(e.sub),
  Mul: twoOperands(e.mul),
  Div: twoOperands(e.div, [0.5, 2]),
  Neg: oneOperand(e.neg),
  Exp: oneOperand(e.exp),
  Log: oneOperand(e.log, { range: [0.5, 2] }),
  Sqrt: oneOperand(e.sqrt, { range: [0.5, 2] }),
  // the CPU provider has Erf and Gelu in float32 only
  Erf: oneOperand(e.erf, { ...float32, step: 5e-3 }),
  Gelu: {
    'as one operator': { shapes: [[3, 4]], build: ([x]) => e.gelu(x!), ...float32, step: 5e-3, range: [-3, 3] },
    'composed of opset 17': {
      shapes: [[3, 4]],
      build: ([x]) => e.gelu(x!),
      ...float32,
      step: 5e-3,
      range: [-3, 3],
      opset: EXPORT_OPSET,
    },
  },
  Relu: { ...oneOperand(e.relu), float32: { shapes: [[3, 4]], build: ([x]) => e.relu(x!), ...float32 } },
  Identity: oneOperand(e.identity),
  Cast: {
    'to float64 and back': { shapes: [[3, 4]], ...float32, build: ([x]) => e.cast(e.cast(x!, 'float64'), 'float32') },
  },
  Where: {
    'both branches': {
      shapes: [[2, 3], [3]],
      build: ([a, b], graph) => e.where(mask(graph, [2, 3], [1, 0, 1, 0, 0, 1]), a!, b!),
    },
  },
  ReduceSum: {
    'all axes': { shapes: [[2, 3]], build: ([x]) => reduceSum(x!) },
    'kept axis': { shapes: [[2, 3, 4]], build: ([x]) => reduceSum(x!, [1], { keepDims: true }) },
    'negative axis dropped': { shapes: [[2, 3, 4]], build: ([x]) => reduceSum(x!, [-1, 0]) },
  },
  ReduceMean: {
    'axes as input': { shapes: [[2, 3, 4]], build: ([x]) => reduceMean(x!, [0, 2]) },
    'axes as attribute': {
      shapes: [[2, 3, 4]],
      build: ([x]) => reduceMean(x!, [1], { keepDims: true }),
      opset: EXPORT_OPSET,
    },
  },
  LogSoftmax: { 'last axis': { shapes: [[3, 5]], build: ([x]) => logSoftmax(x!) } },
  Reshape: { 'other rank': { shapes: [[2, 6]], build: ([x]) => reshape(x!, [3, -1, 2]) } },
  Unsqueeze: { 'two axes': { shapes: [[2, 3]], build: ([x]) => unsqueeze(x!, [0, -1]) } },
  Transpose: { 'cyclic permutation': { shapes: [[2, 3, 4]], build: ([x]) => transpose(x!, [2, 0, 1]) } },
  Slice: {
    'inner range': {
      shapes: [[4, 5]],
      build: ([x]) =>
        slice(x!, [
          { axis: 1, start: 1, end: 4 },
          { axis: 0, start: 2, end: 4 },
        ]),
    },
    'strides that end before, at and after the last element': {
      shapes: [[2, 5, 6, 7]],
      build: ([x]) =>
        slice(x!, [
          { axis: 1, start: 0, end: 3, step: 2 },
          { axis: 2, start: 0, end: 6, step: 2 },
          { axis: 3, start: 1, end: 7, step: 3 },
        ]),
    },
    'reversed axis': { shapes: [[4, 5]], build: ([x]) => slice(x!, [{ axis: 1, start: 4, end: -1, step: -1 }]) },
  },
  Concat: {
    'two inputs': {
      shapes: [
        [2, 3],
        [2, 1],
      ],
      build: ([a, b]) => concat([a!, b!], -1),
    },
  },
  Expand: { 'two axes': { shapes: [[3, 1]], build: ([x]) => expand(x!, [2, 3, 4]) } },
  Pad: { 'both ends': { shapes: [[2, 3]], build: ([x]) => pad(x!, [1, 0], [2, 3]) } },
  MatMul: {
    matrices: {
      shapes: [
        [2, 3],
        [3, 4],
      ],
      build: ([a, b]) => matmul(a!, b!),
    },
    'batched rows by one matrix': {
      shapes: [
        [2, 5, 3],
        [3, 4],
      ],
      build: ([a, b]) => matmul(a!, b!),
    },
    'batched on both sides': {
      shapes: [
        [2, 2, 3],
        [2, 3, 4],
      ],
      build: ([a, b]) => matmul(a!, b!),
    },
    'broadcast batch': {
      shapes: [
        [2, 1, 2, 3],
        [4, 3, 2],
      ],
      build: ([a, b]) => matmul(a!, b!),
    },
  },
  Gemm: {
    plain: {
      shapes: [
        [2, 3],
        [3, 4],
      ],
      build: ([a, b]) => gemm(a!, b!),
    },
    'right transposed, with bias': {
      shapes: [[2, 3], [4, 3], [4]],
      build: ([a, b, bias]) => gemm(a!, b!, { transB: true, bias: bias! }),
    },
    'left transposed': {
      shapes: [
        [3, 2],
        [3, 4],
      ],
      build: ([a, b]) => gemm(a!, b!, { transA: true }),
    },
    'both transposed': {
      shapes: [
        [3, 2],
        [4, 3],
      ],
      build: ([a, b]) => gemm(a!, b!, { transA: true, transB: true }),
    },
    'as a linear layer': { shapes: [[2, 2, 3], [4, 3], [4]], build: ([x, w, b]) => linear(x!, w!, b!) },
  },
  Conv: {
    'strided patches': {
      shapes: [[2, 3, 4, 4], [5, 3, 2, 2], [5]],
      ...float32,
      build: ([x, w, b]) => conv(x!, w!, b!, { stride: 2 }),
    },
    'strided with overlap and padding': {
      shapes: [
        [2, 2, 7, 6],
        [3, 2, 3, 3],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined, { stride: 2, padding: 1 }),
    },
    'input beyond the last stride': {
      shapes: [
        [1, 2, 7, 8],
        [3, 2, 2, 2],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined, { stride: 3 }),
    },
    dilated: {
      shapes: [
        [1, 2, 6, 6],
        [2, 2, 3, 3],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined, { padding: 2, dilation: 2 }),
    },
    '1 x 1, image by image': {
      shapes: [[2, 3, 4, 4], [5, 3, 1, 1], [5]],
      ...float32,
      build: ([x, w, b]) => conv(x!, w!, b!),
    },
    '1 x 1, of all cells at once': {
      shapes: [
        [2, 8, 1, 2],
        [9, 8, 1, 1],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined),
    },
    '1 x 1 with a stride': {
      shapes: [
        [2, 3, 5, 6],
        [4, 3, 1, 1],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined, { stride: 2 }),
    },
    'a kernel that is no square': {
      shapes: [
        [2, 2, 5, 6],
        [3, 2, 2, 3],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined, { stride: 2 }),
    },
    'strided with overlap and padding, for CUDA': {
      shapes: [
        [2, 2, 7, 6],
        [3, 2, 3, 3],
      ],
      ...float32,
      provider: 'cuda',
      build: ([x, w]) => conv(x!, w!, undefined, { stride: 2, padding: 1 }),
    },
    depthwise: {
      shapes: [[2, 3, 5, 4], [3, 1, 7, 7], [3]],
      ...float32,
      build: ([x, w, b]) => conv(x!, w!, b!, { padding: 3, groups: 3 }),
    },
    'depthwise on a large map': {
      shapes: [
        [1, 2, 21, 20],
        [2, 1, 3, 3],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined, { padding: 1, groups: 2 }),
    },
    'depthwise, dilated': {
      shapes: [
        [2, 3, 6, 5],
        [3, 1, 3, 3],
      ],
      ...float32,
      build: ([x, w]) => conv(x!, w!, undefined, { padding: 2, dilation: 2, groups: 3 }),
    },
    'depthwise, for CUDA': {
      shapes: [[2, 3, 5, 4], [3, 1, 7, 7], [3]],
      ...float32,
      provider: 'cuda',
      build: ([x, w, b]) => conv(x!, w!, b!, { padding: 3, groups: 3 }),
    },
    'depthwise, dilated, for CUDA': {
      shapes: [
        [2, 3, 6, 5],
        [3, 1, 3, 3],
      ],
      ...float32,
      provider: 'cuda',
      build: ([x, w]) => conv(x!, w!, undefined, { padding: 2, dilation: 2, groups: 3 }),
    },
  },
  MaxPool: {
    'windows that overlap': {
      shapes: [[2, 2, 6, 5]],
      ...float32,
      build: ([x]) => maxPool(x!, { size: 3, stride: 2, padding: 1 }),
      step: 1e-3,
    },
  },
  BatchNormalization: {
    'one row a channel': {
      shapes: [[1, 3, 7], [3], [3]],
      ...float32,
      build: ([x, s, b]) => batchNorm(x!, s!, b!, 1e-5).y,
      range: [-2, 2],
    },
    'several images': {
      shapes: [[2, 3, 5], [3], [3]],
      ...float32,
      build: ([x, s, b]) => batchNorm(x!, s!, b!, 1e-5).y,
      range: [-2, 2],
    },
  },
  LayerNormalization: {
    // the CPU provider computes its statistics in float32 in any case
    'last axis': {
      shapes: [[2, 3, 8], [8], [8]],
      ...float32,
      build: ([x, s, b]) => layerNorm(x!, s!, b!, 1e-5),
      range: [-2, 2],
    },
  },
  Gather: {
    'repeated rows': {
      shapes: [[4, 3]],
      ...float32,
      build: ([x], graph) => gather(x!, indices(graph, [5], [2, 0, 2, 3, 2]), 0),
    },
    'inner axis, matrix of indices': {
      shapes: [[2, 4, 3]],
      ...float32,
      build: ([x], graph) => gather(x!, indices(graph, [2, 2], [1, 3, 1, 0]), 1),
    },
  },
  GatherElements: {
    'repeated elements': {
      shapes: [[2, 4]],
      ...float32,
      build: ([x], graph) => gatherElements(x!, indices(graph, [2, 3], [1, 1, 3, 0, 2, 2]), 1),
    },
  },
};

describe('gradient rules', () => {
  it('each have a numeric check', () => {
    const differentiable = Object.entries(gradientRules).flatMap(([operator, rule]) =>
      typeof rule === 'function' ? [operator] : [],
    );
    assert.deepEqual(
      differentiable.filter((operator) => cases[operator] === undefined),
      [],
    );
    assert.deepEqual(
      Object.keys(cases).filter((operator) => !differentiable.includes(operator)),
      [],
    );
  });

  for (const [operator, variants] of Object.entries(cases)) {
    for (const [name, testCase] of Object.entries(variants)) {
      it(`${operator}: ${name} agrees with finite differences`, async () => {
        const { operators, error } = await compareGradients(testCase);
        const composed = operator === 'Gelu' && testCase.opset === EXPORT_OPSET;
        assert.ok(composed || operators.has(operator), `the case never emits ${operator}`);
        const tolerance = testCase.dtype === 'float32' ? 2e-3 : 1e-8;
        assert.ok(error < tolerance, `relative error ${error}`);
      });
    }
  }
});

/** Composed operators with gradients of their own. */
const composed: Record<string, GradientCase> = {
  'channelMajorConv 1 x 1': {
    shapes: [
      [3, 2, 3, 4],
      [5, 3, 1, 1],
    ],
    build: ([x, w]) => channelMajorConv(x!, w!),
  },
  'channelMajorConv 1 x 1 with a stride': {
    shapes: [
      [3, 2, 5, 4],
      [5, 3, 1, 1],
    ],
    build: ([x, w]) => channelMajorConv(x!, w!, { stride: 2 }),
  },
  'channelMajorConv by patches': {
    shapes: [
      [3, 2, 5, 4],
      [4, 3, 3, 3],
    ],
    build: ([x, w]) => channelMajorConv(x!, w!, { padding: 1 }),
  },
  'channelMajorConv by patches, dilated': {
    shapes: [
      [2, 1, 6, 5],
      [3, 2, 3, 3],
    ],
    build: ([x, w]) => channelMajorConv(x!, w!, { padding: 2, dilation: 2 }),
  },
  'channelMajorConv with a stride': {
    shapes: [
      [2, 2, 7, 6],
      [3, 2, 3, 3],
    ],
    build: ([x, w]) => channelMajorConv(x!, w!, { stride: 2, padding: 1 }),
  },
  'channelMajorConv by Conv': {
    shapes: [
      [1, 1, 15, 16],
      [2, 1, 3, 3],
    ],
    build: ([x, w]) => channelMajorConv(x!, w!, { padding: 1 }),
  },
};

describe('composed operators', () => {
  for (const [name, testCase] of Object.entries(composed)) {
    it(`${name}: the gradient agrees with finite differences`, async () => {
      const { error } = await compareGradients({ ...testCase, ...float32 });
      assert.ok(error < 2e-3, `relative error ${error}`);
    });
  }
});

describe('gradients', () => {
  it('stop at selections and at stopGradient', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2, 3]);
    const selected = [argMin(x, 1), smallest(x, 2).indices].map((index) => reduceSum(e.cast(index, 'float32')));
    const detached = [reduceSum(smallest(x, 2).values), reduceSum(stopGradient(x))];
    const loss = [...selected, ...detached].reduce((sum, term) => e.add(sum, term));
    assert.throws(() => gradients(loss, [x]), /the loss does not depend on "x"/);
  });

  it('use a declared derivative in place of the nodes it covers', async () => {
    const cube = (x: Value) => {
      const square = e.mul(x, x);
      return differentiateBy(e.mul(square, x), x, (gy) => e.mul(gy, e.mul(square, 3)));
    };
    const { error } = await compareGradients({ shapes: [[2, 3]], build: ([x]) => e.add(cube(e.mul(x!, 2)), x!) });
    assert.ok(error < 1e-6, `relative error ${error}`);
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    const before = graph.nodes.length;
    gradients(reduceSum(differentiateBy(e.sqrt(x), x, (gy) => e.neg(gy))), [x]);
    const operators = graph.nodes.slice(before).map(({ operator }) => operator);
    assert.ok(operators.includes('Neg') && !operators.includes('Div'), operators.join(', '));
  });

  it('name an operator that has no rule', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    assert.throws(
      () => gradients(reduceSum(e.halfAbove(x)), [x]),
      (error: unknown) => error instanceof GraphError && /HardSigmoid/.test(error.message),
    );
  });

  it('reject a loss that is not a scalar', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    assert.throws(() => gradients(e.neg(x), [x]), /must be a scalar, got \[2\]/);
  });

  it('are summed over several uses of a value', async () => {
    const { error } = await compareGradients({
      shapes: [[2, 2]],
      build: ([x]) => e.add(e.mul(x!, matmul(x!, x!)), e.exp(x!)),
    });
    assert.ok(error < 1e-8, `relative error ${error}`);
  });
});
