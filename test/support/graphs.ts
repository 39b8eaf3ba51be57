import { encodeModel } from '../../src/onnx/encode.js';
import { Graph, type Provider, type Value } from '../../src/onnx/graph.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import type { Shape } from '../../src/onnx/shapes.js';
import { stream } from '../../src/tensor/random.js';
import { elementCount, type Tensor, tensor } from '../../src/tensor/tensor.js';

/** Declares an input that is fed with the value. Its shape is that of the value, or a given one with dynamic dimensions. */
export type Feed = (value: Tensor, options?: { readonly name?: string; readonly shape?: Shape }) => Value;

/** Runs the graph that `build` emits on the CPU, also if it is built for another provider. The returned record names the outputs. */
export async function evaluate<K extends string>(
  build: (feed: Feed, graph: Graph) => Readonly<Record<K, Value>>,
  opset?: number,
  provider?: Provider,
): Promise<Record<K, Tensor>> {
  const graph = new Graph(opset, provider);
  const feeds = new Map<string, Tensor>();
  const outputs = build((value, { name = `input${feeds.size}`, shape = value.shape } = {}) => {
    feeds.set(name, value);
    return graph.input(name, value.dtype, shape);
  }, graph);
  for (const [name, value] of Object.entries<Value>(outputs)) graph.output(name, value);
  const session = await createSession(encodeModel(graph), { threads: 1 });
  const results = await runSession(session, feeds);
  await session.release();
  return Object.fromEntries(results) as Record<K, Tensor>;
}

export const numbers = ({ data }: Tensor): number[] => Array.from(data as ArrayLike<number | bigint>, Number);

export const floats = (shape: readonly number[], values: readonly number[]): Tensor<'float32'> =>
  tensor('float32', shape, Float32Array.from(values));

export const doubles = (shape: readonly number[], values: readonly number[]): Tensor<'float64'> =>
  tensor('float64', shape, Float64Array.from(values));

export const integers = (shape: readonly number[], values: readonly number[]): Tensor<'int64'> =>
  tensor('int64', shape, BigInt64Array.from(values, BigInt));

/** Standard normal numbers, rounded to float32. */
export function normals(shape: readonly number[], seed: number): number[] {
  const random = stream(seed, 'normals');
  return Array.from({ length: elementCount(shape) }, () => Math.fround(random.normal()));
}

/** norm(actual - expected) / norm(expected). */
export function relativeError(actual: ArrayLike<number | bigint>, expected: ArrayLike<number | bigint>): number {
  if (actual.length !== expected.length) throw new Error(`lengths differ: ${actual.length} and ${expected.length}`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (Number(actual[i]) - Number(expected[i])) ** 2;
    norm += Number(expected[i]) ** 2;
  }
  return Math.sqrt(difference / norm);
}
