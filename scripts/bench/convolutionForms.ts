/**
 * Times the 3x3 convolutions of a ResNet-50 at 224 px in the forms of src/onnx/convolutionForms.ts, on maps in the
 * channel-major layout: forward pass, gradient of the input, gradient of the weight. Prints a Markdown table of milliseconds.
 *
 *   node dist/scripts/bench/convolutionForms.js [--batches 8,32] [--threads 2] [--seconds 1]
 *
 * The runs of the forms alternate, so that other work on the machine slows all alike. The cells have the fastest runs. The
 * gradient of the weight is always a Gemm over patches. They are gathered cell by cell from the transposed map, or sliced
 * (the gradient rule of Conv).
 */
import { parseArgs } from 'node:util';
import { encodeModel } from '../../src/onnx/encode.js';
import { gradients } from '../../src/onnx/gradients.js';
import { Graph, type Value } from '../../src/onnx/graph.js';
import { channelMajorConv } from '../../src/onnx/ops/channelMajorConvolution.js';
import { conv } from '../../src/onnx/ops/convolution.js';
import { mul } from '../../src/onnx/ops/elementwise.js';
import { reduceSum } from '../../src/onnx/ops/reduce.js';
import { transpose } from '../../src/onnx/ops/shape.js';
import type { InferenceSession, Tensor as OrtTensor } from '../../src/onnx/runtime.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { elementCount, tensor, zeros } from '../../src/tensor/tensor.js';

const { values } = parseArgs({
  options: {
    batches: { type: 'string', default: '8,32' },
    threads: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '1' },
  },
});
const MIN_RUNS = 3;

/** Channels, side of the input map, stride: the 3x3 convolutions of a ResNet-50. */
const SHAPES: readonly (readonly [number, number, number])[] = [
  [64, 56, 1],
  [128, 56, 2],
  [128, 28, 1],
  [256, 28, 2],
  [256, 14, 1],
  [512, 14, 2],
  [512, 7, 1],
];

type Convolve = (x: Value, weight: Value, stride: number) => Value;
const swapped = (x: Value) => transpose(x, [1, 0, 2, 3]);
const forms: Readonly<Record<string, Convolve>> = {
  conv: (x, weight, stride) => channelMajorConv(x, weight, { stride, padding: 1 }, 'conv'),
  patches: (x, weight, stride) => channelMajorConv(x, weight, { stride, padding: 1 }, 'patches'),
  rule: (x, weight, stride) => swapped(conv(swapped(x), weight, undefined, { stride, padding: 1 })),
};

/** Opens a session that computes one part: the forward pass, the gradient of the input or the gradient of the weight. */
async function open(
  convolve: Convolve,
  part: 'forward' | 'input' | 'weight',
  shapes: readonly number[][],
  stride: number,
) {
  const graph = new Graph();
  const [x, weight, gy] = ['x', 'weight', 'gy'].map((name, i) => graph.input(name, 'float32', shapes[i]!));
  const y = convolve(x!, weight!, stride);
  const loss = () => reduceSum(mul(y, gy!));
  const result = part === 'forward' ? y : gradients(loss(), [part === 'input' ? x! : weight!])[0]!;
  graph.output('result', result);
  const session: InferenceSession = await createSession(encodeModel(graph), {
    threads: Number(values.threads),
    spinning: false,
  });
  const fetches = { result: toOrt(zeros('float32', result.shape as number[])) };
  return { session, run: (feeds: Record<string, OrtTensor>) => session.run(feeds, fetches) };
}

/** Milliseconds of the fastest run of each form. */
async function compare(
  names: readonly string[],
  part: 'forward' | 'input' | 'weight',
  shapes: number[][],
  stride: number,
) {
  const feeds = Object.fromEntries(
    ['x', 'weight', 'gy'].map((name, i) => [
      name,
      toOrt(
        tensor(
          'float32',
          shapes[i]!,
          Float32Array.from({ length: elementCount(shapes[i]!) }, () => Math.random() - 0.5),
        ),
      ),
    ]),
  );
  const sides = await Promise.all(names.map((name) => open(forms[name]!, part, shapes, stride)));
  const best = sides.map(() => Number.POSITIVE_INFINITY);
  const end = performance.now() + Number(values.seconds) * 1e3;
  for (let run = 0; run < MIN_RUNS || performance.now() < end; run++) {
    for (const [i, side] of sides.entries()) {
      const start = performance.now();
      await side.run(feeds);
      if (run > 0) best[i] = Math.min(best[i]!, performance.now() - start);
    }
  }
  for (const { session } of sides) await session.release();
  return best.map((time) => time.toPrecision(3)).join(' / ');
}

console.log(`${values.threads} threads, milliseconds, fastest runs\n`);
console.log(
  '| batch | channels | input | stride | forward: conv / patches | input: conv / patches | weight: gathered / sliced |',
);
console.log('| --- | --- | --- | --- | --- | --- | --- |');
for (const batch of values.batches.split(',').map(Number)) {
  for (const [channels, side, stride] of SHAPES) {
    const outputSide = side / stride;
    const shapes = [
      [channels, batch, side, side],
      [channels, channels, 3, 3],
      [channels, batch, outputSide, outputSide],
    ];
    const cells = [
      await compare(['conv', 'patches'], 'forward', shapes, stride),
      stride === 1 ? await compare(['conv', 'patches'], 'input', shapes, stride) : 'ConvTranspose',
      await compare(['patches', 'rule'], 'weight', shapes, stride),
    ];
    console.log(`| ${batch} | ${channels} | ${side} x ${side} | ${stride} | ${cells.join(' | ')} |`);
  }
}
