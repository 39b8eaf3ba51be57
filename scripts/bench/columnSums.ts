/**
 * Compares two ways to sum over the rows of a matrix, [R, C] -> [C]: ReduceSum, and matrix products with ones
 * (src/onnx/ops/columnSums.ts). The runs of both alternate. Prints a Markdown table of milliseconds of the fastest runs.
 *
 *   node dist/scripts/bench/columnSums.js [--threads 2] [--runs 10]
 */
import { parseArgs } from 'node:util';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph, type Value } from '../../src/onnx/graph.js';
import { columnSums } from '../../src/onnx/ops/columnSums.js';
import { reduceSum } from '../../src/onnx/ops/reduce.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { tensor } from '../../src/tensor/tensor.js';

const { values } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, runs: { type: 'string', default: '10' } },
});

/** Sums of the gradients of biases and norms in a ConvNeXt-tiny step with 2 x 8 photographs of 224 px. */
const SHAPES: readonly (readonly [number, number])[] = [
  [50176, 384],
  [50176, 96],
  [12544, 768],
  [12544, 192],
  [3136, 1536],
  [3136, 384],
  [784, 3072],
  [784, 768],
];
const forms: readonly ((x: Value) => Value)[] = [(x) => reduceSum(x, [0]), columnSums];

console.log('| rows | columns | ReduceSum | products | ratio |\n| --- | --- | --- | --- | --- |');
for (const [rows, columns] of SHAPES) {
  const sessions = await Promise.all(
    forms.map((form) => {
      const graph = new Graph();
      graph.output('y', form(graph.input('x', 'float32', [rows, columns])));
      return createSession(encodeModel(graph), { threads: Number(values.threads) });
    }),
  );
  const data = Float32Array.from({ length: rows * columns }, Math.random);
  const feeds = { x: toOrt(tensor('float32', [rows, columns], data)) };
  const best = forms.map(() => Number.POSITIVE_INFINITY);
  for (let run = 0; run <= Number(values.runs); run++) {
    for (const [i, session] of sessions.entries()) {
      const start = performance.now();
      (await session.run(feeds))['y']!.dispose();
      if (run > 0) best[i] = Math.min(best[i]!, performance.now() - start);
    }
  }
  for (const session of sessions) await session.release();
  const [reduced, multiplied] = best as [number, number];
  const ratio = (reduced / multiplied).toFixed(1);
  console.log(`| ${rows} | ${columns} | ${reduced.toFixed(2)} | ${multiplied.toFixed(2)} | ${ratio} |`);
}
