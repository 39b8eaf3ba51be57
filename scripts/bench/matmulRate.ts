import { median } from '../../src/bench/quantile.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { matmul } from '../../src/onnx/ops/linear.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { tensor } from '../../src/tensor/tensor.js';

const SIZE = 2048;

/** The MatMul rate of this machine: FLOP/s of the product of two 2048 x 2048 matrices, as the median of `runs`. */
export async function matmulRate(threads: number, runs = 7): Promise<number> {
  const graph = new Graph();
  const a = graph.input('a', 'float32', [SIZE, SIZE]);
  graph.output('y', matmul(a, graph.input('b', 'float32', [SIZE, SIZE])));
  const session = await createSession(encodeModel(graph), { threads });
  const feed = toOrt(tensor('float32', [SIZE, SIZE], Float32Array.from({ length: SIZE * SIZE }, Math.random)));
  const times: number[] = [];
  for (let i = 0; i < runs + 1; i++) {
    const start = performance.now();
    (await session.run({ a: feed, b: feed }))['y']!.dispose();
    if (i > 0) times.push((performance.now() - start) / 1e3);
  }
  await session.release();
  return (2 * SIZE ** 3) / median(times);
}
