import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { gradients } from '../onnx/gradients.js';
import { Graph } from '../onnx/graph.js';
import { mul } from '../onnx/ops/elementwise.js';
import { tensor } from '../tensor/tensor.js';
import { IGNORED, pixelCrossEntropy } from './pixelCrossEntropy.js';

const [batch, side, classes] = [2, 3, 4];
const shape = [batch, side, side, classes];
const logits = normals(shape, 1);
const pixels = batch * side * side;

/** Loss 3 x the cross-entropy, and its gradient with respect to the logits. */
async function computed(labels: readonly number[]) {
  const { loss, gradient } = await evaluate((feed) => {
    const x = feed(floats(shape, logits));
    const value = mul(pixelCrossEntropy(x, feed(tensor('uint8', [batch, side, side], Uint8Array.from(labels)))), 3);
    return { loss: value, gradient: gradients(value, [x])[0]! };
  });
  return { loss: numbers(loss)[0]!, gradient: numbers(gradient) };
}

function expected(labels: readonly number[]) {
  const counted = labels.filter((label) => label < classes).length;
  let loss = 0;
  const gradient = labels.flatMap((label, i) => {
    const row = logits.slice(i * classes, (i + 1) * classes);
    if (label >= classes) return row.map(() => 0);
    const sum = row.reduce((total, value) => total + Math.exp(value), 0);
    loss -= (row[label]! - Math.log(sum)) / counted;
    return row.map((value, k) => (3 * (Math.exp(value) / sum - (k === label ? 1 : 0))) / counted);
  });
  return { loss: 3 * loss, gradient };
}

describe('pixelCrossEntropy', () => {
  it('is the mean over the pixels whose label is a class, with its gradient', async () => {
    const labels = Array.from({ length: pixels }, (_, i) => [0, 1, 2, 3, IGNORED, 4][i % 6]!);
    const { loss, gradient } = await computed(labels);
    const reference = expected(labels);
    assert.ok(Math.abs(loss - reference.loss) < 1e-5);
    assert.ok(relativeError(gradient, reference.gradient) < 1e-5);
    assert.ok(gradient.slice(4 * classes, 5 * classes).every((value) => value === 0));
  });

  it('is 0 without any gradient where no pixel counts', async () => {
    const { loss, gradient } = await computed(Array<number>(pixels).fill(IGNORED));
    assert.equal(loss + 0, 0);
    assert.ok(gradient.every((value) => value === 0));
  });

  it('refuses labels that do not fit', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', shape);
    assert.throws(() => pixelCrossEntropy(x, graph.input('few', 'uint8', [batch, side])), /labels \[2,3\] do not fit/);
    assert.throws(() => pixelCrossEntropy(x, graph.input('wide', 'int64', [batch, side, side])), /int64 labels/);
  });
});
