/**
 * Measures time and peak memory of a training step that divides its batch into micro-batches, or of a step in one graph over
 * a small batch. The photographs are random pixels. Run each configuration in its own process, because peak memory is a
 * figure of the process.
 *
 *   node dist/scripts/bench/microBatch.js [--batch 1024] [--micro 32] [--steps 2]
 *   node dist/scripts/bench/microBatch.js --batch 32 --micro 32
 */
import { parseArgs } from 'node:util';
import { backboneNamed, mapCells } from '../../src/nn/backbone.js';
import { adamw } from '../../src/optim/adamw.js';
import { stream } from '../../src/tensor/random.js';
import { tensor } from '../../src/tensor/tensor.js';
import { createStepRunner } from '../../src/train/createStepRunner.js';
import type { StepConfig } from '../../src/train/stepConfig.js';
import type { StepBatch } from '../../src/train/stepRunner.js';

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'convnext_atto' },
    size: { type: 'string', default: '224' },
    batch: { type: 'string', default: '1024' },
    micro: { type: 'string', default: '32' },
    threads: { type: 'string', default: '2' },
    steps: { type: 'string', default: '2' },
    expander: { type: 'string', default: '2048-2048-2048' },
    projector: { type: 'string', default: '512-512-512' },
  },
});
const [size, batchSize, microBatch] = [values.size, values.batch, values.micro].map(Number) as [number, number, number];
const widths = (text: string) => text.split('-').map(Number);

const backbone = backboneNamed(values.arch);
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
  batchSize,
  microBatch,
  viewSizes: [size, size],
  pixels: 'uint8',
  dropPath: true,
};

const random = stream(0, 'pixels');
const batch: StepBatch = {
  views: config.viewSizes.map(() => {
    const pixels = new Uint32Array((batchSize * size * size * 3) / 4);
    for (let i = 0; i < pixels.length; i++) pixels[i] = random.integer(2 ** 32);
    return tensor('uint8', [batchSize, size, size, 3], new Uint8Array(pixels.buffer));
  }),
  locations: config.viewSizes.map(() =>
    tensor(
      'float32',
      [batchSize, cells, 2],
      Float32Array.from({ length: batchSize * cells * 2 }, () => random.uniform(0, size)),
    ),
  ),
};

const megabytes = () => Math.round(process.resourceUsage().maxRSS / 1024);
const opening = performance.now();
const runner = await createStepRunner(config, {
  dropPathRate: 0.1,
  initial: new Map(),
  seed: 0,
  session: { threads: Number(values.threads) },
});
console.log(
  JSON.stringify({ sessions_s: +((performance.now() - opening) / 1e3).toFixed(1), peak_memory_mb: megabytes() }),
);
for (let step = 0; step < Number(values.steps); step++) {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const [terms] = await runner.run([{ step, learningRate: 1e-5, batch }]);
  const seconds = (performance.now() - start) / 1e3;
  console.log(
    JSON.stringify({
      batch: batchSize,
      micro: microBatch,
      step,
      l: terms!['l'],
      step_s: +seconds.toFixed(2),
      cpu_s: +((process.cpuUsage(cpu).user + process.cpuUsage(cpu).system) / 1e6).toFixed(1),
      images_per_s: +(batchSize / seconds).toFixed(2),
      peak_memory_mb: megabytes(),
    }),
  );
}
await runner.close();
