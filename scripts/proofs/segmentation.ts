/**
 * Compares the linear segmentation head with PyTorch and scikit-learn, on the same numbers (Debian: python3-torch,
 * python3-sklearn). Prints a table in Markdown; docs/proofs/segmentation.md holds the last one.
 *
 *   node dist/scripts/proofs/segmentation.js
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { countClasses, segmentationMeasures } from '../../src/evaluate/segmentation/iou.js';
import {
  headRate,
  protocolOf,
  SCHEDULE_DEFAULTS,
  type SegmentationProtocol,
} from '../../src/evaluate/segmentation/protocol.js';
import { createHeadTrainer } from '../../src/heads/headTrainer.js';
import { IGNORED } from '../../src/heads/pixelCrossEntropy.js';
import {
  encodeSegmentationHead,
  encodeUpsampling,
  LOGITS_OUTPUT,
  PIXELS_OUTPUT,
} from '../../src/heads/segmentationGraph.js';
import { channelsOf, emitSegmentationStep, type HeadMap } from '../../src/heads/segmentationHead.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { resizeBilinear } from '../../src/onnx/ops/resize.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { stream } from '../../src/tensor/random.js';
import { writeSafetensors } from '../../src/tensor/safetensors.js';
import { elementCount, type Tensor, tensor } from '../../src/tensor/tensor.js';

const STEPS = 50;
const [batch, crop, classes] = [4, 64, 7];
const session = { threads: 1 };

function normals(shape: readonly number[], ...labels: (string | number)[]): Tensor<'float32'> {
  const random = stream(0, ...labels);
  return tensor(
    'float32',
    shape,
    Float32Array.from({ length: elementCount(shape) }, () => random.normal()),
  );
}

function labelsOf(count: number, ignoredShare: number, ...labels: (string | number)[]): Uint8Array {
  const random = stream(0, ...labels);
  return Uint8Array.from({ length: count }, () => (random.bernoulli(ignoredShare) ? IGNORED : random.integer(classes)));
}

/** Interpolations of random maps: the products of training. */
async function interpolations(): Promise<Map<string, Tensor>> {
  const found = new Map<string, Tensor>();
  for (const [rows, columns, toRows, toColumns] of [
    [8, 8, 64, 64],
    [3, 5, 12, 20],
    [12, 7, 5, 19],
    [15, 20, 480, 640],
  ] as const) {
    const graph = new Graph();
    const shape = [2, rows, columns, 3];
    graph.output('y', resizeBilinear(graph.input('x', 'float32', shape), toRows, toColumns));
    const running = await createSession(encodeModel(graph), session);
    const x = normals(shape, 'interpolation', rows, columns);
    const y = (await runSession(running, { x })).get('y')!;
    await running.release();
    found.set(`interpolation/${rows}x${columns}-${toRows}x${toColumns}/x`, x);
    found.set(`interpolation/${rows}x${columns}-${toRows}x${toColumns}/y`, y);
  }
  return found;
}

/** Steps of training on random maps far from 0, with the state after every tenth. */
async function training(
  name: string,
  maps: readonly HeadMap[],
  protocol: SegmentationProtocol,
): Promise<Map<string, Tensor>> {
  const found = new Map<string, Tensor>();
  const put = (step: number | string, key: string, value: Tensor) => found.set(`${name}/${step}/${key}`, value);
  const spec = { maps, classes, dropout: protocol.dropout };
  const { optimizer, learningRate, dropout } = protocol;
  const trainer = await createHeadTrainer((parameters) => emitSegmentationStep(parameters, spec, { batch, crop }), {
    optimizer,
    seed: 3,
    session,
  });
  for (const [key, value] of trainer.weights()) put('start', key, value);
  for (let step = 0; step < STEPS; step++) {
    const feeds = new Map<string, Tensor>();
    for (const { name: map, channels, stride } of maps) {
      const value = normals([batch, crop / stride, crop / stride, channels], name, map, step);
      feeds.set(map, { ...value, data: value.data.map((x, i) => 3 * x + 5 + (i % channels)) });
    }
    // One step has no pixel that counts.
    feeds.set(
      'labels',
      tensor('uint8', [batch, crop, crop], labelsOf(batch * crop * crop, step === 7 ? 1 : 0.2, name, 'labels', step)),
    );
    if (dropout > 0) {
      const random = stream(0, name, 'dropout', step);
      feeds.set(
        'dropout',
        tensor(
          'float32',
          [batch, channelsOf(maps)],
          Float32Array.from({ length: batch * channelsOf(maps) }, () =>
            random.bernoulli(dropout) ? 0 : 1 / (1 - dropout),
          ),
        ),
      );
    }
    const rate = headRate(step, { steps: STEPS, learningRate, ...SCHEDULE_DEFAULTS });
    const { loss } = await trainer.step(feeds, step, rate);
    for (const [key, value] of feeds) put(step, key, value);
    put(step, 'rate', tensor('float64', [], Float64Array.of(rate)));
    put(step, 'loss', tensor('float64', [], Float64Array.of(loss!)));
    for (const [key, value] of trainer.weights()) put(step, `after/${key}`, value);
  }
  // The exported head on a photograph of another size, at the pixels.
  const head = await createSession(encodeSegmentationHead(spec, trainer.weights()), session);
  const upsampling = await createSession(encodeUpsampling(classes, maps[0]!.stride), session);
  await trainer.close();
  const inputs = new Map<string, Tensor>(
    maps.map(({ name: map, channels, stride }) => [
      map,
      normals([1, 96 / stride, 160 / stride, channels], name, map, 'test'),
    ]),
  );
  for (const [key, value] of inputs) put('test', key, value);
  const logits = (await runSession(head, inputs)).get(LOGITS_OUTPUT)!;
  put('test', 'pixels', (await runSession(upsampling, { [LOGITS_OUTPUT]: logits })).get(PIXELS_OUTPUT)!);
  await head.release();
  await upsampling.release();
  return found;
}

/** Truth and predictions of images, with mIoU and IoU by class. */
function intersections(): Map<string, Tensor> {
  const [images, pixels] = [20, 3000];
  const truth = labelsOf(images * pixels, 0.1, 'truth');
  const guess = labelsOf(images * pixels, 0, 'guess');
  const random = stream(0, 'right');
  const predicted = guess.map((label, i) => (truth[i] !== IGNORED && random.bernoulli(0.6) ? truth[i]! : label));
  const names = Array.from({ length: classes }, (_, label) => ({ name: String(label), colour: [0, 0, 0] as const }));
  const part = (data: Uint8Array, i: number) => data.subarray(i * pixels, (i + 1) * pixels);
  const counts = Array.from({ length: images }, (_, i) =>
    countClasses({ data: part(truth, i) }, part(predicted, i), classes),
  );
  const measures = segmentationMeasures(counts, names);
  const all = Uint32Array.from({ length: images }, (_, i) => i);
  return new Map<string, Tensor>([
    ['iou/truth', tensor('uint8', [truth.length], truth)],
    ['iou/predicted', tensor('uint8', [truth.length], predicted)],
    ['iou/miou', tensor('float64', [], Float64Array.of(measures.figures[0]!.over(all)))],
    ['iou/accuracy', tensor('float64', [], Float64Array.of(measures.figures[1]!.over(all)))],
    [
      'iou/classes',
      tensor(
        'float64',
        [classes],
        Float64Array.from(measures.classes!.values, ({ value }) => value!),
      ),
    ],
  ]);
}

const stages: readonly HeadMap[] = [
  { name: 'stage1', channels: 6, stride: 4 },
  { name: 'stage2', channels: 10, stride: 8 },
  { name: 'stage3', channels: 12, stride: 16 },
  { name: 'stage4', channels: 16, stride: 32 },
];
const convNext = protocolOf({ family: 'convnext', depths: [1, 1, 1, 1], widths: [6, 10, 12, 16], layerScale: 0 });
const resNet = protocolOf({ family: 'resnet', block: 'basic', layers: [1, 1, 1, 1], width: 8 });
const dir = await mkdtemp(join(tmpdir(), 'vicregl-proof-'));
try {
  const path = join(dir, 'numbers.safetensors');
  const numbers = new Map([
    ...(await interpolations()),
    ...(await training('adamw', stages, convNext)),
    ...(await training('sgd', [{ name: 'maps', channels: 24, stride: 8 }], resNet)),
    ...intersections(),
  ]);
  await writeSafetensors(path, numbers);
  const script = 'scripts/proofs/segmentation_torch.py';
  const { stdout } = await promisify(execFile)('/usr/bin/python3', [script, path], { maxBuffer: 2 ** 24 });
  process.stdout.write(stdout);
} catch (error) {
  const { stdout, stderr, message } = error as Error & { stdout?: string; stderr?: string };
  console.error(stdout ?? '', stderr ?? message);
  process.exitCode = 1;
} finally {
  await rm(dir, { recursive: true });
}
