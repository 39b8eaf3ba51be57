import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, numbers } from '../../test/support/graphs.js';
import { Graph } from '../onnx/graph.js';
import { neg } from '../onnx/ops/elementwise.js';
import { GraphError } from '../onnx/shapes.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { tensor } from '../tensor/tensor.js';
import {
  checkParameters,
  constantParameters,
  type Initialiser,
  initialise,
  inputParameters,
  ParameterError,
} from './parameters.js';

const zeros: Initialiser = { kind: 'zeros' };
const drawn = (initialiser: Initialiser, name = 'w', seed = 0) =>
  initialise({ name, shape: [100, 200], initialiser }, seed).data;
const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviation = (values: Float32Array) => Math.sqrt(mean(values.map((value) => value ** 2)) - mean(values) ** 2);

describe('initialise', () => {
  // Bounds are five standard errors of 20,000 draws.
  it('draws a truncated normal of mean 0 and its standard deviation', () => {
    const values = drawn({ kind: 'truncatedNormal', std: 0.02 });
    assert.ok(Math.abs(mean(values)) < (5 * 0.02) / Math.sqrt(20_000));
    assert.ok(Math.abs(deviation(values) / 0.02 - 1) < 5 / Math.sqrt(40_000));
    const tails = values.filter((value) => Math.abs(value) > 0.04).length / values.length;
    assert.ok(Math.abs(tails - 0.0455) < 5 * Math.sqrt((0.0455 * 0.9545) / 20_000), `${tails} beyond two deviations`);
  });

  it('draws uniform numbers up to the bound', () => {
    const values = drawn({ kind: 'uniform', bound: 0.5 });
    assert.ok(values.every((value) => Math.abs(value) <= 0.5));
    assert.ok(Math.abs(mean(values)) < (5 * 0.5) / Math.sqrt(3 * 20_000));
    assert.ok(Math.abs(deviation(values) * Math.sqrt(12) - 1) < 0.02);
    assert.ok(values.some((value) => value > 0.499) && values.some((value) => value < -0.499));
  });

  it('returns zeros, ones and other constants', () => {
    assert.ok(drawn(zeros).every((value) => value === 0));
    assert.ok(drawn({ kind: 'ones' }).every((value) => value === 1));
    assert.ok(drawn({ kind: 'constant', value: 0.25 }).every((value) => value === 0.25));
  });

  it('returns the same numbers for the same seed and name, and others otherwise', () => {
    const normal: Initialiser = { kind: 'truncatedNormal', std: 1 };
    assert.deepEqual(drawn(normal, 'a', 1), drawn(normal, 'a', 1));
    assert.notDeepEqual(drawn(normal, 'a', 1), drawn(normal, 'b', 1));
    assert.notDeepEqual(drawn(normal, 'a', 1), drawn(normal, 'a', 2));
  });
});

describe('parameters', () => {
  it('are shared between views, and an error under another shape', () => {
    const graph = new Graph();
    const parameters = inputParameters(graph);
    const first = parameters.get('w', [2, 3], zeros);
    assert.equal(parameters.get('w', [2, 3], zeros), first);
    assert.deepEqual(parameters.specs, [{ name: 'w', shape: [2, 3], initialiser: zeros }]);
    assert.throws(
      () => parameters.get('w', [3, 2], zeros),
      (error: unknown) =>
        error instanceof GraphError && error.message === 'parameter "w" is [2, 3], asked for as [3, 2]',
    );
  });

  it('list every tensor that a checkpoint lacks or has in another shape', () => {
    const specs = [
      { name: 'a', shape: [2, 3], initialiser: zeros },
      { name: 'b', shape: [2], initialiser: zeros },
      { name: 'c', shape: [4], initialiser: zeros },
    ];
    const tensors = new Map([
      ['a', floats([3, 2], Array(6).fill(0))],
      ['b', floats([2], [0, 0])],
      ['unknown', floats([1], [0])],
    ]);
    assert.deepEqual(checkParameters(specs, tensors), [
      'parameter "a" must be [2, 3], found [3, 2]',
      'parameter "c" [4] is missing',
    ]);
    const constants = constantParameters(new Graph(), tensors);
    assert.throws(() => constants.get('c', [4], zeros), {
      name: 'ParameterError',
      message: 'parameter "c" [4] is missing',
    });
    assert.throws(() => constants.get('a', [2, 3], zeros), ParameterError);
  });

  it('of a float16 checkpoint are used in float32', async () => {
    const values = [0.1, -3];
    const halves = float32ToFloat16(Float32Array.from(values));
    const { y } = await evaluate((_, graph) => ({
      y: neg(constantParameters(graph, new Map([['w', tensor('float16', [2], halves)]])).get('w', [2], zeros)),
    }));
    assert.equal(y.dtype, 'float32');
    assert.deepEqual(numbers(y), [-0.0999755859375, 3]);
  });
});
