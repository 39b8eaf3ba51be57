/**
 * Compares two forms of depthwise 7x7 convolutions, with forward pass and both gradients: a convolution, and one matrix
 * product per channel (src/nn/depthwiseProduct.ts), for several map sizes and channel counts. Prints a Markdown table of
 * milliseconds.
 *
 *   node dist/scripts/bench/depthwise.js [--batch 32] [--views 1] [--threads 2] [--sizes 4,5,...] [--channels 40,80,160,320] [--seconds 1]
 *
 * The runs of both forms alternate, so that other work on the machine slows both alike. Times are medians. The table has the
 * ratio of the medians and the ratio of the fastest runs, which other work affects least. --seconds is the minimum time for
 * each cell of the table. With --views 2, two inputs share one kernel, as the views of a training step do.
 */

import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import { depthwiseProduct } from '../../src/nn/depthwiseProduct.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { gradients } from '../../src/onnx/gradients.js';
import { Graph, type Value } from '../../src/onnx/graph.js';
import { conv } from '../../src/onnx/ops/convolution.js';
import { add, mul } from '../../src/onnx/ops/elementwise.js';
import { reduceSum } from '../../src/onnx/ops/reduce.js';
import { transpose } from '../../src/onnx/ops/shape.js';
import type { InferenceSession, Tensor as OrtTensor } from '../../src/onnx/runtime.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { elementCount, tensor, zeros } from '../../src/tensor/tensor.js';

const KERNEL = 7;
const MIN_RUNS = 3;
/** Size limit of the matrix T of the product, which has cells^2 elements per channel, as has its gradient. Larger ones are skipped. */
const MAX_MATRIX_BYTES = 2 ** 30;

const { values } = parseArgs({
  options: {
    batch: { type: 'string', default: '32' },
    views: { type: 'string', default: '1' },
    threads: { type: 'string', default: '2' },
    sizes: { type: 'string', default: '4,5,7,8,10,14,16,20,28,32' },
    channels: { type: 'string', default: '40,80,160,320' },
    seconds: { type: 'string', default: '1' },
  },
});
const batch = Number(values.batch);
const views = Number(values.views);
const threads = Number(values.threads);
const numbers = (text: string) => text.split(',').map(Number);

/** The convolution of a channels-last network. Input and output are [B, H, W, C]. */
function depthwiseConvolution(x: Value, weight: Value): Value {
  const groups = weight.shape[0] as number;
  const y = conv(transpose(x, [0, 3, 1, 2]), weight, undefined, { padding: (KERNEL - 1) / 2, groups });
  return transpose(y, [0, 2, 3, 1]);
}

interface Side {
  /** Runs forward pass and gradients once. Returns milliseconds. */
  run(): Promise<number>;
  release(): Promise<void>;
}

async function openSide(
  convolve: (x: Value, weight: Value) => Value,
  shape: readonly number[],
  feeds: Record<string, OrtTensor>,
): Promise<Side> {
  const graph = new Graph();
  const weight = graph.input('weight', 'float32', [shape[3]!, 1, KERNEL, KERNEL]);
  const xs = Array.from({ length: views }, (_, v) => graph.input(`x${v}`, 'float32', shape));
  const ys = xs.map((x) => convolve(x, weight));
  const loss = ys
    .map((y, v) => reduceSum(mul(y, graph.input(`gy${v}`, 'float32', shape))))
    .reduce((sum, term) => add(sum, term));
  const outputs = [...ys, ...gradients(loss, [...xs, weight])];
  for (const [i, value] of outputs.entries()) graph.output(`out${i}`, value);
  // No spinning: threads that busy-wait on one side would slow the next run of the other side.
  const session: InferenceSession = await createSession(encodeModel(graph), { threads, spinning: false });
  const fetches = Object.fromEntries(
    outputs.map((value, i) => [`out${i}`, toOrt(zeros('float32', value.shape as number[]))]),
  );
  await session.run(feeds, fetches);
  return {
    async run() {
      const start = performance.now();
      await session.run(feeds, fetches);
      return performance.now() - start;
    },
    release: () => session.release(),
  };
}

function random(shape: readonly number[]): OrtTensor {
  return toOrt(
    tensor(
      'float32',
      shape,
      Float32Array.from({ length: elementCount(shape) }, () => Math.random() - 0.5),
    ),
  );
}

/** Times of both sides in milliseconds, or undefined if the product's matrix exceeds the size limit. */
async function compare(size: number, channels: number): Promise<[number[], number[]] | undefined> {
  if (4 * channels * size ** 4 > MAX_MATRIX_BYTES) return undefined;
  const shape = [batch, size, size, channels];
  const feeds: Record<string, OrtTensor> = { weight: random([channels, 1, KERNEL, KERNEL]) };
  for (let v = 0; v < views; v++) {
    feeds[`x${v}`] = random(shape);
    feeds[`gy${v}`] = random(shape);
  }
  const sides = [
    await openSide(depthwiseConvolution, shape, feeds),
    await openSide(depthwiseProduct, shape, feeds),
  ] as const;
  const times: [number[], number[]] = [[], []];
  const end = performance.now() + Number(values.seconds) * 1e3;
  while (times[0].length < MIN_RUNS || performance.now() < end) {
    for (const i of [0, 1] as const) times[i].push(await sides[i].run());
  }
  for (const side of sides) await side.release();
  return times;
}

const channelCounts = numbers(values.channels);
console.log(
  `batch ${batch}, ${views} view(s), ${threads} threads; each cell: convolution ms / product ms = ratio (ratio of the fastest)\n`,
);
console.log(`| map | cells | ${channelCounts.map((count) => `${count} channels`).join(' | ')} |`);
console.log(`| --- | --- |${' --- |'.repeat(channelCounts.length)}`);
for (const size of numbers(values.sizes)) {
  const cells: string[] = [];
  for (const channels of channelCounts) {
    const result = await compare(size, channels);
    if (result === undefined) cells.push('-');
    else {
      const [convolution, product] = result.map(median) as [number, number];
      const best = Math.min(...result[0]) / Math.min(...result[1]);
      const medians = `${convolution.toPrecision(3)} / ${product.toPrecision(3)}`;
      cells.push(`${medians} = **${(convolution / product).toPrecision(2)}** (${best.toPrecision(2)})`);
    }
  }
  console.log(`| ${size} x ${size} | ${size * size} | ${cells.join(' | ')} |`);
}
