import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tensor } from '../tensor/tensor.js';
import { constantIntegers, Graph, valueElements } from './graph.js';
import { add, neg } from './ops/elementwise.js';
import { GraphError } from './shapes.js';

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GraphError, String(error));
  assert.match(error.message, message);
  return true;
};

describe('Graph', () => {
  it('rejects duplicate names of inputs, constants and outputs', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    assert.throws(() => graph.input('x', 'float32', [2]), refused(/the name "x" is used twice/));
    assert.throws(
      () => graph.constant(tensor('float32', [], Float32Array.of(1)), 'x'),
      refused(/the name "x" is used twice/),
    );
    graph.output('y', neg(x));
    assert.throws(() => graph.output('y', x), refused(/output "y" is declared twice/));
    assert.throws(() => graph.output('x', neg(x)), refused(/the name "x" is taken by another value/));
  });

  it('rejects values of another graph, with operator and value', () => {
    const x = new Graph().input('x', 'float32', [2]);
    const other = new Graph();
    const y = other.input('y', 'float32', [2]);
    assert.throws(() => add(x, y), refused(/Add: "y" belongs to another graph/));
    assert.throws(() => other.output('x', x), refused(/output: "x" belongs to another graph/));
  });

  it('shares equal scalars and vectors, but no other constants', () => {
    const graph = new Graph();
    assert.equal(graph.scalar(2), graph.scalar(2));
    assert.notEqual(graph.scalar(2), graph.scalar(2, 'float64'));
    assert.notEqual(graph.scalar(2), graph.scalar(3));
    assert.equal(graph.integers([1, 2]), graph.integers([1, 2]));
    assert.notEqual(graph.integers([1, 2]), graph.integers([12]));
    assert.deepEqual(constantIntegers(graph.integers([-1, 2 ** 40])), [-1, 2 ** 40]);
    assert.deepEqual(graph.scalar(0.5, 'float64').constant, tensor('float64', [], Float64Array.of(0.5)));
  });

  it('names nodes after their scope, and exits a scope that throws', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    const inside = graph.scope('stage', () => graph.scope('block', () => neg(x)));
    assert.match(inside.name, /^stage\/block\/Neg_\d+$/);
    assert.throws(() =>
      graph.scope('broken', () => {
        throw new Error('no');
      }),
    );
    assert.match(neg(x).name, /^Neg_\d+$/);
  });

  it('reports values that must be constant and shapes that must be static', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['batch', 3]);
    assert.throws(() => constantIntegers(x), refused(/"x" \[batch, 3\] must be an int64 constant/));
    assert.throws(() => valueElements(x), refused(/"x" \[batch, 3\] must be static/));
    assert.equal(valueElements(graph.input('y', 'float32', [4, 3])), 12);
  });
});
