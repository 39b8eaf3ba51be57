import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { Graph } from '../onnx/graph.js';
import type { Tensor } from '../tensor/tensor.js';
import { mlp } from './heads.js';
import { constantParameters, inputParameters } from './parameters.js';

describe('mlp', () => {
  it('numbers and initialises its layers as a PyTorch Sequential does', () => {
    const graph = new Graph();
    const parameters = inputParameters(graph);
    mlp(graph.input('x', 'float32', [2, 4]), parameters, 'projector', [6, 8, 5]);
    const uniform = (fanIn: number) => ({ kind: 'uniform', bound: 1 / Math.sqrt(fanIn) });
    assert.deepEqual(parameters.specs, [
      { name: 'projector.0.weight', shape: [6, 4], initialiser: uniform(4) },
      { name: 'projector.0.bias', shape: [6], initialiser: uniform(4) },
      { name: 'projector.1.weight', shape: [6], initialiser: { kind: 'ones' } },
      { name: 'projector.1.bias', shape: [6], initialiser: { kind: 'zeros' } },
      { name: 'projector.3.weight', shape: [8, 6], initialiser: uniform(6) },
      { name: 'projector.3.bias', shape: [8], initialiser: uniform(6) },
      { name: 'projector.4.weight', shape: [8], initialiser: { kind: 'ones' } },
      { name: 'projector.4.bias', shape: [8], initialiser: { kind: 'zeros' } },
      { name: 'projector.6.weight', shape: [5, 8], initialiser: uniform(8) },
    ]);
  });

  it('is Linear, LayerNorm with epsilon 1e-5, ReLU, Linear without bias, on the last axis', async () => {
    const [inputs, hidden, outputs, rows] = [3, 4, 2, 6];
    // Small activations, so that the epsilon has an effect.
    const x = normals([rows, inputs], 1).map((value) => value / 100);
    const w0 = normals([hidden, inputs], 2).map((value) => value / 10);
    const [b0, scale, shift] = [normals([hidden], 3).map((v) => v / 1000), normals([hidden], 4), normals([hidden], 5)];
    const w1 = normals([outputs, hidden], 6);
    const expected = Array.from({ length: rows }, (_, row) => {
      const y = b0.map(
        (b, i) => b + w0.slice(i * inputs, (i + 1) * inputs).reduce((s, w, j) => s + w * x[row * inputs + j]!, 0),
      );
      const mean = y.reduce((a, b) => a + b) / hidden;
      const variance = y.reduce((s, v) => s + (v - mean) ** 2, 0) / hidden;
      const active = y.map((v, i) => Math.max(0, ((v - mean) / Math.sqrt(variance + 1e-5)) * scale[i]! + shift[i]!));
      return Array.from({ length: outputs }, (_, o) => active.reduce((s, v, i) => s + v * w1[o * hidden + i]!, 0));
    }).flat();
    const weights = new Map<string, Tensor>([
      ['m.0.weight', floats([hidden, inputs], w0)],
      ['m.0.bias', floats([hidden], b0)],
      ['m.1.weight', floats([hidden], scale)],
      ['m.1.bias', floats([hidden], shift)],
      ['m.3.weight', floats([outputs, hidden], w1)],
    ]);
    for (const shape of [
      [2, 3, inputs],
      ['rows', 3, inputs],
    ]) {
      const { y } = await evaluate((feed, graph) => ({
        y: mlp(feed(floats([2, 3, inputs], x), { shape }), constantParameters(graph, weights), 'm', [hidden, outputs]),
      }));
      assert.deepEqual(y.shape, [2, 3, outputs]);
      assert.ok(relativeError(numbers(y), expected) < 1e-5);
    }
  });
});
