/**
 * Time, memory and share of the machine's MatMul rate of one training step.
 *
 *   node dist/scripts/bench/trainingStep.js [--arch convnext_atto] [--size 128] [--batch 64] [--threads 2] [--profile PREFIX]
 */
import { parseArgs } from 'node:util';
import { backboneConfigs, dropPathBlocks, mapCells } from '../../src/nn/backbone.js';
import { initialise } from '../../src/nn/parameters.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { matmul } from '../../src/onnx/ops/linear.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { elementCount, type Tensor, tensor, zeros } from '../../src/tensor/tensor.js';
import { adamw } from '../../src/train/adamw.js';
import { modelFlops } from '../../src/train/flops.js';
import type { StepConfig } from '../../src/train/stepConfig.js';
import { buildStep } from '../../src/train/stepGraph.js';
import { stateSpecs } from '../../src/train/stepRunner.js';

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'convnext_atto' },
    size: { type: 'string', default: '128' },
    batch: { type: 'string', default: '64' },
    threads: { type: 'string', default: '2' },
    steps: { type: 'string', default: '5' },
    expander: { type: 'string', default: '1024-1024-1024' },
    projector: { type: 'string', default: '256-256-256' },
    profile: { type: 'string' },
  },
});
const threads = Number(values.threads);
const size = Number(values.size);
const batch = Number(values.batch);
const widths = (text: string) => text.split('-').map(Number);
const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;

async function matmulRate(): Promise<number> {
  const n = 2048;
  const graph = new Graph();
  const a = graph.input('a', 'float32', [n, n]);
  graph.output('y', matmul(a, graph.input('b', 'float32', [n, n])));
  const session = await createSession(encodeModel(graph), { threads });
  const feed = toOrt(tensor('float32', [n, n], Float32Array.from({ length: n * n }, Math.random)));
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    (await session.run({ a: feed, b: feed }))['y']!.dispose();
    times.push((performance.now() - start) / 1e3);
  }
  await session.release();
  return (2 * n ** 3) / median(times);
}

const backbone = backboneConfigs[values.arch];
if (backbone === undefined) throw new Error(`unknown --arch ${values.arch}`);
const cells = mapCells(backbone, size) ** 2;
const config: StepConfig = {
  model: { backbone, expander: widths(values.expander), localProjector: widths(values.projector) },
  loss: {
    alpha: 0.75,
    numMatches: [Math.min(20, cells), Math.min(4, cells)],
    featureMatches: 'all',
    weights: { invariance: 25, variance: 25, covariance: 1 },
  },
  optimizer: adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 }),
  batchSize: batch,
  viewSizes: [size, size],
  pixels: 'uint8',
  dropPath: dropPathBlocks(backbone) > 0,
};
const before = await matmulRate();
const building = performance.now();
const step = buildStep(config);
const model = encodeModel(step.graph);
const created = performance.now();
const session = await createSession(model, { threads, ...(values.profile && { profile: values.profile }) });
const ready = performance.now();

const feeds: Record<string, Tensor> = {};
for (const spec of stateSpecs(step, config)) feeds[spec.name] = initialise(spec, 0);
for (const { name, dtype, shape } of step.graph.inputs) {
  if (feeds[name] !== undefined) continue;
  const count = elementCount(shape as number[]);
  feeds[name] =
    dtype === 'uint8'
      ? tensor(
          'uint8',
          shape as number[],
          Uint8Array.from({ length: count }, () => Math.random() * 256),
        )
      : tensor(
          'float32',
          shape as number[],
          Float32Array.from({ length: count }, () => Math.random() * size),
        );
}
for (const [name, value] of Object.entries(config.optimizer.scalarValues(0, 1e-4))) {
  feeds[name] = tensor('float32', [], Float32Array.of(value));
}
const ortFeeds = Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, toOrt(value)]));
const fetches = Object.fromEntries(
  [...step.graph.outputs].map(([name, { shape }]) => [name, toOrt(zeros('float32', shape as number[]))]),
);
const times: number[] = [];
for (let i = 0; i < Number(values.steps) + 1; i++) {
  const start = performance.now();
  await session.run(ortFeeds, fetches);
  if (i > 0) times.push((performance.now() - start) / 1e3);
}
if (values.profile) session.endProfiling();
const rate = (before + (await matmulRate())) / 2;
const flops = modelFlops(config.model, config.viewSizes) * 3 * batch;
console.log(
  JSON.stringify({
    arch: values.arch,
    size,
    batch,
    threads,
    nodes: step.graph.nodes.length,
    build_s: +((created - building) / 1e3).toFixed(2),
    session_s: +((ready - created) / 1e3).toFixed(2),
    step_s: +median(times).toFixed(3),
    images_per_s: +(batch / median(times)).toFixed(2),
    matmul_gflops: +(rate / 1e9).toFixed(1),
    step_gflops: +(flops / median(times) / 1e9).toFixed(1),
    share_of_matmul_rate: +(flops / median(times) / rate).toFixed(3),
    peak_memory_mb: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
