/**
 * Measures one training step: time, memory, and the share of the machine's MatMul rate.
 *
 *   node dist/scripts/bench/trainingStep.js [--arch convnext_atto] [--size 128] [--batch 64] [--threads 2] [--profile PREFIX]
 */
import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { createSession, TRAINING_SESSION, toOrt } from '../../src/onnx/session.js';
import { tensor, zeros } from '../../src/tensor/tensor.js';
import { modelFlops } from '../../src/train/flops.js';
import { stepNames } from '../../src/train/stepConfig.js';
import { buildStep } from '../../src/train/stepGraph.js';
import { matmulRate } from './matmulRate.js';
import { initialState, LEARNING_RATE, type StepCase, stepBatch, stepConfig } from './stepCase.js';

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
const { arch, expander, projector } = values;
const stepCase: StepCase = { arch, size: Number(values.size), batch: Number(values.batch), expander, projector };
const config = stepConfig(stepCase);
const before = await matmulRate(threads);
const building = performance.now();
const step = buildStep(config);
const model = encodeModel(step.graph);
const created = performance.now();
const session = await createSession(model, {
  threads,
  ...TRAINING_SESSION,
  ...(values.profile && { profile: values.profile }),
});
const ready = performance.now();

const feeds = initialState(step, config);
const { views, locations } = stepBatch(config);
views.forEach((view, v) => {
  feeds.set(stepNames.view(v), view);
});
locations.forEach((grid, v) => {
  feeds.set(stepNames.locations(v), grid);
});
for (const [name, value] of Object.entries(config.optimizer.scalarValues(0, LEARNING_RATE))) {
  feeds.set(name, tensor('float32', [], Float32Array.of(value)));
}
const ortFeeds = Object.fromEntries([...feeds].map(([name, value]) => [name, toOrt(value)]));
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
const rate = (before + (await matmulRate(threads))) / 2;
const flops = modelFlops(config.model, config.viewSizes) * 3 * stepCase.batch;
console.log(
  JSON.stringify({
    ...stepCase,
    threads,
    nodes: step.graph.nodes.length,
    build_s: +((created - building) / 1e3).toFixed(2),
    session_s: +((ready - created) / 1e3).toFixed(2),
    step_s: +median(times).toFixed(3),
    images_per_s: +(stepCase.batch / median(times)).toFixed(2),
    matmul_gflops: +(rate / 1e9).toFixed(1),
    step_gflops: +(flops / median(times) / 1e9).toFixed(1),
    share_of_matmul_rate: +(flops / median(times) / rate).toFixed(3),
    peak_memory_mb: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
