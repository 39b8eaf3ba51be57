import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stepConfig } from '../../scripts/bench/stepCase.js';
import { writtenNodes } from '../../src/onnx/encode.js';
import { gradients } from '../../src/onnx/gradients.js';
import { constantIntegers, Graph, TRAINING_OPSET } from '../../src/onnx/graph.js';
import { writtenBytes } from '../../src/onnx/liveness.js';
import { conv } from '../../src/onnx/ops/convolution.js';
import { add, mul } from '../../src/onnx/ops/elementwise.js';
import { reduceSum } from '../../src/onnx/ops/reduce.js';
import { pad, slice, transpose } from '../../src/onnx/ops/shape.js';
import { buildStep } from '../../src/train/stepGraph.js';

/** Bytes that graphs for CUDA write. Memory bandwidth limits most of their kernels. The bytes are counted from shapes; no graph runs. */

const GB = 1e9;

/** Bytes that the weight gradient of a convolution writes, by operator. */
function ofWeightGradient(map: readonly number[], kernel: readonly number[], stride = 1) {
  const graph = new Graph(TRAINING_OPSET, 'cuda');
  const [x, weight] = [graph.input('x', 'float32', map), graph.input('weight', 'float32', kernel)];
  const y = conv(x, weight, undefined, { stride, padding: (kernel[2]! - 1) / 2 });
  const gy = graph.input('gy', 'float32', y.shape);
  graph.output('gradient', gradients(reduceSum(mul(y, gy)), [weight])[0]!);
  return writtenBytes(graph);
}

const total = (bytes: ReadonlyMap<string, number>, ...operators: readonly string[]): number =>
  operators.reduce((sum, operator) => sum + (bytes.get(operator) ?? 0), 0);
const bytesOf = (...shape: readonly number[]): number => 4 * shape.reduce((a, b) => a * b);

describe('copies', () => {
  it('are not emitted for no-ops: full slices, empty padding, unchanged axes', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2, 3, 4]);
    assert.equal(slice(x, [{ axis: 1, start: 0, end: 3 }]), x);
    assert.equal(slice(x, [{ axis: -1, start: 0, end: 4, step: 1 }]), x);
    assert.equal(pad(x, [0, 0, 0], [0, 0, 0]), x);
    assert.equal(transpose(x, [0, 1, 2]), x);
    assert.equal(graph.nodes.length, 0);
    // Of several ranges, only those that select a part remain.
    const half = slice(x, [
      { axis: 0, start: 0, end: 2 },
      { axis: 2, start: 0, end: 4, step: 2 },
    ]);
    assert.deepEqual(half.shape, [2, 3, 2]);
    assert.deepEqual(constantIntegers(half.node!.inputs[3]!), [2]);
    // Reversing an axis is a real copy.
    assert.notEqual(slice(x, [{ axis: 2, start: 3, end: -1, step: -1 }]), x);
  });

  it('are counted by the bytes that are written and read, not by unused outputs', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [10, 3]);
    pad(x, [1, 0], [0, 0]);
    graph.output('y', add(transpose(x, [1, 0]), 1));
    assert.deepEqual(Object.fromEntries(writtenBytes(graph)), { Transpose: 120, Add: 120 });
  });

  it('for the weight gradient of a 1 x 1 convolution are the transposed maps or the products of each image, whichever is smaller', () => {
    const wide = ofWeightGradient([64, 256, 56, 56], [64, 256, 1, 1]);
    assert.equal(total(wide, 'Pad', 'Slice', 'Concat', 'Gather'), 0);
    assert.equal(total(wide, 'MatMul'), bytesOf(64, 64, 256));
    const deep = ofWeightGradient([64, 2048, 7, 7], [512, 2048, 1, 1]);
    assert.equal(total(deep, 'Pad', 'Slice', 'Concat', 'Gather', 'MatMul'), 0);
    assert.equal(total(deep, 'Transpose'), bytesOf(64, 2048 + 512, 7, 7));
    const strided = ofWeightGradient([64, 256, 56, 56], [512, 256, 1, 1], 2);
    assert.equal(total(strided, 'Slice'), bytesOf(64, 256, 28, 28));
  });

  it('for the weight gradient of a 3 x 3 convolution are about one map per kernel cell', () => {
    const map = bytesOf(64, 64, 56, 56);
    const copies = total(ofWeightGradient([64, 64, 56, 56], [64, 64, 3, 3]), 'Pad', 'Slice', 'Concat', 'Gather');
    assert.ok(copies < 15 * map, `${copies / map} maps`);
  });
});

describe('a training step for CUDA', () => {
  const stepOf = (arch: string) =>
    buildStep(stepConfig({ arch, size: 224, batch: 64, expander: '8192-8192-8192', projector: '512-512-512' }), {
      provider: 'cuda',
    }).graph;

  for (const [arch, most] of [
    ['resnet50', 25],
    ['convnext_tiny', 20],
  ] as const) {
    it(`of ${arch} at batch 64 writes less than ${most} GB of copies, none of a complete tensor`, () => {
      const graph = stepOf(arch);
      const whole = writtenNodes(graph).filter(
        ({ operator, inputs, outputs }) =>
          (operator === 'Slice' || operator === 'Pad') &&
          String(inputs[0]!.shape) === String(outputs[0]!.shape) &&
          inputs[4]?.constant?.data.every((step) => Number(step) === 1),
      );
      assert.deepEqual(
        whole.map(({ name }) => name),
        [],
      );
      const copies = total(writtenBytes(graph), 'Pad', 'Slice', 'Concat', 'Gather', 'Transpose');
      assert.ok(copies < most * GB, `${copies / GB} GB`);
      assert.ok(copies > GB);
    });
  }
});
