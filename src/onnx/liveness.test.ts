import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Graph } from './graph.js';
import { peakMemory } from './liveness.js';
import { add, mul, relu } from './ops/elementwise.js';
import { matmul } from './ops/linear.js';
import { reduceSum } from './ops/reduce.js';
import { reshape } from './ops/shape.js';

/** Bytes of a float32 [16, 16] matrix. */
const MATRIX = 16 * 16 * 4;

function input(graph: Graph, name = 'x') {
  return graph.input(name, 'float32', [16, 16]);
}

describe('the peak memory of a graph', () => {
  it('counts values that are live at the same time, without inputs and the outputs that the caller holds', () => {
    const graph = new Graph();
    const x = input(graph);
    const a = matmul(x, x);
    const b = matmul(a, x); // a is read for the last time: two matrices while it is computed
    graph.output('y', matmul(b, x));
    assert.deepEqual({ ...peakMemory(graph), node: '' }, { peakBytes: 2 * MATRIX, node: '', constantBytes: 0 });
    assert.equal(peakMemory(graph).node, b.node!.name);
  });

  it('keeps a value until the last node that reads it', () => {
    const graph = new Graph();
    const x = input(graph);
    const a = matmul(x, x);
    const b = matmul(a, x);
    const c = matmul(b, x);
    graph.output('y', matmul(c, a)); // a, b, c while c is computed
    assert.equal(peakMemory(graph).peakBytes, 3 * MATRIX);
  });

  it('lets elementwise operators overwrite an input after its last use', () => {
    const chain = new Graph();
    chain.output('y', matmul(relu(relu(matmul(input(chain), input(chain, 'z')))), chain.inputs[0]!));
    assert.equal(peakMemory(chain).peakBytes, MATRIX);
    const kept = new Graph();
    const a = matmul(input(kept), input(kept, 'z'));
    kept.output('y', matmul(mul(a, 2), a)); // a is read again
    assert.equal(peakMemory(kept).peakBytes, 2 * MATRIX);
  });

  it('counts a reshaped value as the same bytes', () => {
    const graph = new Graph();
    const a = matmul(input(graph), graph.inputs[0]!);
    const flat = reshape(a, [256]);
    graph.output('y', reduceSum(mul(flat, flat), [0]));
    // a is live through its view while the product is computed in its place
    assert.equal(peakMemory(graph).peakBytes, MATRIX);
  });

  it('orders nodes depth first from the last output, as ONNX Runtime does', () => {
    const graph = new Graph();
    const x = input(graph);
    // two branches, each briefly wide; breadth first, both would be live at the same time
    const [a, b] = [reshape(matmul(x, x), [1, 256]), reshape(matmul(x, x), [1, 256])];
    const tall = graph.input('t', 'float32', [256, 1]);
    const [c, d] = [matmul(a, tall), matmul(b, tall)];
    graph.output('y', add(c, d));
    assert.equal(peakMemory(graph).peakBytes, MATRIX + 4 + 4);
  });

  it('counts constants separately', () => {
    const graph = new Graph();
    graph.output('y', mul(input(graph), 3));
    assert.deepEqual(peakMemory(graph), { peakBytes: 0, node: '', constantBytes: 4 });
  });
});
