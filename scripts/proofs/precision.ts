/**
 * Training in half precision beside float32: the same batches from the same weights.
 *
 *   node dist/scripts/proofs/precision.js --images FOLDER [--steps 500] [--first 50] [--batch 16] [--size 64] [--seeds 3] [--network convnext|resnet]
 *
 * Runs float32 with several seeds, and fp16 and bf16 with the first seed. Prints a Markdown table (docs/proofs/precision.md): the largest
 * relative difference of the logged loss from float32's of the same seed in the first steps, and the mean loss of the last fifth. Exit code 1
 * where the first steps differ by more than 1e-2, or the end differs from that of float32 by more than the seeds of float32 differ.
 *
 * The CPU has no kernels of bfloat16. Both precisions are therefore emulated: operands and results of products are rounded to 16 bits, and
 * products add up in float32, as a GPU does it (test/support/emulatedHalf.ts).
 */
import { parseArgs } from 'node:util';
import { createLoader } from '../../src/data/loader.js';
import { openImageSource } from '../../src/data/sources.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { createSession, runSession, TRAINING_SESSION } from '../../src/onnx/session.js';
import { learningRate } from '../../src/optim/schedule.js';
import { startState } from '../../src/optim/state.js';
import { parseTrainConfig, type TrainConfig } from '../../src/train/config.js';
import { hasOverflowed } from '../../src/train/lossScale.js';
import { loaderOptionsOf, scheduleOf, stepConfigOf } from '../../src/train/plan.js';
import type { Precision } from '../../src/train/precision.js';
import { runState } from '../../src/train/runState.js';
import { stepNames } from '../../src/train/stepConfig.js';
import { stepFeeds } from '../../src/train/stepFeeds.js';
import { buildStep } from '../../src/train/stepGraph.js';
import { emulateHalf } from '../../test/support/emulatedHalf.js';

const { values: flags } = parseArgs({
  options: {
    images: { type: 'string' },
    steps: { type: 'string', default: '500' },
    first: { type: 'string', default: '50' },
    batch: { type: 'string', default: '16' },
    size: { type: 'string', default: '64' },
    seeds: { type: 'string', default: '3' },
    network: { type: 'string', default: 'convnext' },
  },
});
if (flags.images === undefined) throw new Error('--images FOLDER: photographs to train on');
const { images, network } = flags;
const [steps, first, batch, size, seeds] = [flags.steps, flags.first, flags.batch, flags.size, flags.seeds].map(
  Number,
) as [number, number, number, number, number];

/** Small networks of both families, with the optimizers of the recipes. */
const NETWORKS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  convnext: {
    model: {
      ...{ architecture: 'custom', depths: [1, 1, 2, 1], widths: [32, 64, 128, 256] },
      ...{ expander: [512, 512, 512], localProjector: [128, 128, 128] },
    },
  },
  resnet: {
    model: {
      ...{ architecture: 'resnet_basic', depths: [1, 1, 1, 1], widths: [32, 64, 128, 256], outputStride: 16 },
      ...{ expander: [512, 512, 512], localProjector: [128, 128, 128], dropPath: 0 },
    },
    optimizer: { kind: 'lars' },
  },
};
const keys = NETWORKS[network];
if (keys === undefined) throw new Error(`--network is ${network}; it is ${Object.keys(NETWORKS).join(' or ')}`);

const source = await openImageSource(images, { given: '--images' });
const perEpoch = Math.floor(source.count / batch);

function configOf(seed: number, precision: Precision): TrainConfig {
  return parseTrainConfig(
    {
      ...{ name: 'proof', seed, precision, batchSize: batch, epochs: steps / perEpoch, data: { source: images } },
      ...{ crops: { size }, loss: { numMatches: [4, 2] } },
      ...keys,
    },
    'the configuration of the proof',
  );
}

/** The loss of every step, and the steps (counted from 1) whose gradients overflowed. */
async function losses(
  seed: number,
  precision: Precision,
): Promise<{ readonly l: number[]; readonly overflows: readonly number[] }> {
  const config = configOf(seed, precision);
  const stepConfig = stepConfigOf(config, undefined);
  const step = buildStep(stepConfig);
  const graph = precision === 'fp32' ? step.graph : emulateHalf(step.graph);
  const session = await createSession(encodeModel(graph), TRAINING_SESSION);
  const loader = createLoader(loaderOptionsOf(config, source));
  const schedule = scheduleOf(config, perEpoch);
  const options = { dropPathRate: config.model.dropPath, seed };
  let state = startState(runState(step, stepConfig), { initial: new Map(), seed });
  const l: number[] = [];
  const overflows: number[] = [];
  try {
    for (let at = 0; at < steps; at++) {
      const taken = { step: at, learningRate: learningRate(at, schedule), batch: await loader.batch(at) };
      const results = await runSession(session, new Map([...state, ...stepFeeds(stepConfig, options, taken)]));
      state = new Map([...state.keys()].map((name) => [name, results.get(stepNames.updated(name))!]));
      const terms = Object.fromEntries(step.logs.map((name) => [name, Number(results.get(name)!.data[0])]));
      if (hasOverflowed(terms)) overflows.push(at + 1);
      else if (!Number.isFinite(terms['grad_norm'])) throw new Error(`step ${at + 1} in ${precision}: not finite`);
      l.push(terms['l']!);
    }
    return { l, overflows };
  } finally {
    await loader.close();
    await session.release();
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const end = (l: readonly number[]) => mean(l.slice(-Math.ceil(steps / 5)));
const failed: string[] = [];

console.log(
  '| precision | seed | loss, first steps | loss at the end | steps without an update |\n| --- | --- | --- | --- | --- |',
);
const references: number[][] = [];
for (let seed = 0; seed < seeds; seed++) {
  const { l } = await losses(seed, 'fp32');
  references.push(l);
  console.log(`| fp32 | ${seed} |  | ${end(l).toFixed(3)} |  |`);
}
const ends = references.map(end);
for (const precision of ['fp16', 'bf16'] as const) {
  const { l, overflows } = await losses(0, precision);
  const difference = Math.max(...l.slice(0, first).map((value, i) => Math.abs(value / references[0]![i]! - 1)));
  console.log(
    `| ${precision} | 0 | ${difference.toExponential(1)} | ${end(l).toFixed(3)} | ${precision === 'fp16' ? overflows.join(', ') || 'none' : ''} |`,
  );
  if (difference > 1e-2) failed.push(`${precision}: the first ${first} losses differ by ${difference}`);
  if (Math.abs(end(l) - ends[0]!) > Math.max(...ends) - Math.min(...ends))
    failed.push(`${precision}: ends at ${end(l)}, float32 at ${ends.join(', ')}`);
}
await source.close();
for (const line of failed) console.error(line);
if (failed.length > 0) process.exitCode = 1;
