import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import onnxProto from 'onnx-proto';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { encodeModel } from './encode.js';
import { EXPORT_OPSET, Graph, type Value } from './graph.js';
import { add, exp, mul, neg } from './ops/elementwise.js';
import { smallest } from './ops/indexing.js';
import { maxPool } from './ops/pool.js';
import { transpose } from './ops/shape.js';
import { createSession, runSession } from './session.js';

const decode = (graph: Graph) => onnxProto.onnx.ModelProto.decode(encodeModel(graph));
const row = (...values: number[]) => tensor('float32', [values.length], Float32Array.from(values));

async function run(graph: Graph, feeds: Record<string, Tensor>): Promise<Record<string, number[]>> {
  const session = await createSession(encodeModel(graph), { threads: 1 });
  const results = await runSession(session, feeds);
  await session.release();
  return Object.fromEntries([...results].map(([name, { data }]) => [name, Array.from(data as Float32Array, Number)]));
}

describe('encodeModel', () => {
  it('names outputs, also those that another node reads', async () => {
    const graph = new Graph();
    const y = neg(graph.input('x', 'float32', [2]));
    graph.output('negated', y);
    graph.output('sum', add(y, 10));
    assert.deepEqual(await run(graph, { x: row(1, 2) }), { negated: [-1, -2], sum: [9, 8] });
    assert.ok(decode(graph).graph!.node!.every(({ opType }) => opType !== 'Identity'));
  });

  it('names an input, a constant and one value under two names as outputs', async () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    const y = exp(x);
    graph.output('first', y);
    graph.output('second', y);
    graph.output('unchanged', x);
    graph.output('fixed', graph.constant(row(7, 8)));
    const one = Math.fround(Math.E);
    const results = await run(graph, { x: row(0, 1) });
    assert.deepEqual(Object.keys(results).sort(), ['first', 'fixed', 'second', 'unchanged']);
    assert.deepEqual(results['unchanged'], [0, 1]);
    assert.deepEqual(results['fixed'], [7, 8]);
    for (const name of ['first', 'second']) assert.ok(Math.abs(results[name]![1]! - one) < 1e-6);
  });

  it('names the second output of a node', async () => {
    const graph = new Graph();
    const { values, indices } = smallest(graph.input('x', 'float32', [3]), 2);
    graph.output('indices', indices);
    graph.output('values', values);
    assert.deepEqual(await run(graph, { x: row(5, 3, 4) }), { indices: [1, 2], values: [3, 4] });
  });

  it('writes constants and inputs in another file as references to it, and the rest inline', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    const scale = graph.input('scale', 'float32', [2]);
    const shift = graph.constant(row(1, 2), 'shift');
    graph.output('y', add(add(mul(x, scale), shift), graph.constant(row(3, 4), 'inside')));
    const places = new Map([
      [scale, { offset: 128, length: 8 }],
      [shift, { offset: 4096, length: 8 }],
    ]);
    const external = { location: 'weights.safetensors', place: (value: Value) => places.get(value) };
    const encoded = onnxProto.onnx.ModelProto.decode(encodeModel(graph, { external })).graph!;
    assert.deepEqual(
      encoded.input!.map(({ name }) => name),
      ['x'],
    );
    const found = encoded.initializer!.map(({ name, dims, externalData, rawData }) => [
      name,
      dims!.map(Number),
      externalData!.map(({ key, value }) => `${key}=${value}`).join(' '),
      rawData!.length,
    ]);
    assert.deepEqual(found, [
      ['scale', [2], 'location=weights.safetensors offset=128 length=8', 0],
      ['shift', [2], 'location=weights.safetensors offset=4096 length=8', 0],
      ['inside', [2], '', 8],
    ]);
  });

  it('omits nodes and constants that no output depends on, but keeps every input', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    graph.input('unused', 'float32', [2]);
    exp(add(x, graph.constant(row(1, 2), 'loose')));
    graph.output('y', mul(x, graph.constant(row(3, 4), 'kept')));
    const { graph: encoded } = decode(graph);
    assert.deepEqual(
      encoded!.node!.map(({ opType }) => opType),
      ['Mul'],
    );
    assert.deepEqual(
      encoded!.initializer!.map(({ name }) => name),
      ['kept'],
    );
    assert.deepEqual(
      encoded!.input!.map(({ name }) => name),
      ['x', 'unused'],
    );
  });

  it('omits the indices of a maximum pooling if nothing reads them', () => {
    const outputsOf = (indices: boolean) => {
      const graph = new Graph();
      const pooled = maxPool(graph.input('x', 'float32', [1, 1, 4, 4]), { size: 2, stride: 2, padding: 0 });
      graph.output('y', pooled);
      if (indices) graph.output('indices', pooled.node!.outputs[1]!);
      return decode(graph).graph!.node![0]!.output;
    };
    assert.deepEqual(outputsOf(false), ['y']);
    assert.deepEqual(outputsOf(true), ['y', 'indices']);
  });

  it('writes integer, list, float and text attributes with their types, and an absent input as an empty name', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2, 3]);
    const one = graph.integers([1]);
    const [y] = graph.emit('Slice', [transpose(x, [1, 0]), one, one, undefined, one], [x], {
      axis: -1,
      epsilon: { float: 0.5 },
      mode: 'constant',
      pads: [1, -2],
    });
    graph.output('y', y!);
    const sliced = decode(graph).graph!.node!.find(({ opType }) => opType === 'Slice')!;
    assert.deepEqual([sliced.input!.length, sliced.input![3]], [5, '']);
    const { AttributeType } = onnxProto.onnx.AttributeProto;
    const [axis, epsilon, mode, pads] = sliced.attribute!;
    assert.deepEqual([axis!.type, Number(axis!.i)], [AttributeType.INT, -1]);
    assert.deepEqual([epsilon!.type, epsilon!.f], [AttributeType.FLOAT, 0.5]);
    assert.deepEqual([mode!.type, new TextDecoder().decode(mode!.s!)], [AttributeType.STRING, 'constant']);
    assert.deepEqual([pads!.type, pads!.ints!.map(Number)], [AttributeType.INTS, [1, -2]]);
  });

  it('writes symbolic dimensions, declared names of outputs, and the opset with its IR version', async () => {
    const graph = new Graph(EXPORT_OPSET);
    const x = graph.input('x', 'float32', ['batch', 2]);
    graph.output('y', add(x, 1), ['rows', 2]);
    const model = decode(graph);
    const dims = (values: onnxProto.onnx.IValueInfoProto[]) =>
      values[0]!.type!.tensorType!.shape!.dim!.map((dim) => dim.dimParam || Number(dim.dimValue));
    assert.deepEqual(dims(model.graph!.input!), ['batch', 2]);
    assert.deepEqual(dims(model.graph!.output!), ['rows', 2]);
    assert.equal(Number(model.irVersion), 8);
    assert.equal(Number(model.opsetImport![0]!.version), 17);
    assert.equal(Number(decode(new Graph()).irVersion), 9);
    for (const batch of [1, 3]) {
      const zeros = tensor('float32', [batch, 2], new Float32Array(2 * batch));
      assert.deepEqual(await run(graph, { x: zeros }), { y: Array(2 * batch).fill(1) });
    }
  });

  it('writes constants of every dtype, which the runtime reads back', async () => {
    const graph = new Graph();
    const values: readonly Tensor[] = [
      tensor('float32', [2], Float32Array.of(0.5, -1)),
      tensor('float64', [1], Float64Array.of(Math.PI)),
      tensor('float16', [1], Uint16Array.of(0x3c00)),
      tensor('int32', [1], Int32Array.of(-5)),
      tensor('int64', [1, 1], BigInt64Array.of(-(2n ** 62n))),
      tensor('int8', [1], Int8Array.of(-128)),
      tensor('uint8', [1], Uint8Array.of(255)),
      tensor('bool', [], Uint8Array.of(1)),
    ];
    for (const value of values) graph.output(value.dtype, graph.constant(value));
    const session = await createSession(encodeModel(graph), { threads: 1 });
    const results = await runSession(session, {});
    await session.release();
    for (const value of values) assert.deepEqual(results.get(value.dtype), value);
  });

  it('rejects constants of more than 2 GiB before it copies them', () => {
    const graph = new Graph();
    const data = { length: 2 ** 29, byteLength: 2 ** 31 } as Float32Array;
    graph.output('y', neg(graph.constant({ dtype: 'float32', shape: [2 ** 29], data })));
    assert.throws(() => encodeModel(graph), { name: 'RangeError', message: /2147483648 bytes .*2 GiB/ });
  });
});
