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
import { openImageSource } from '../../src/data/sources.js';
import { parseTrainConfig, type TrainConfig } from '../../src/train/config.js';
import { hasOverflowed } from '../../src/train/lossScale.js';
import type { Precision } from '../../src/train/precision.js';
import { emulateHalf } from '../../test/support/emulatedHalf.js';
import { trainedSteps } from './trainedSteps.js';

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
  const graph = precision === 'fp32' ? undefined : emulateHalf;
  const l: number[] = [];
  const overflows: number[] = [];
  for await (const { terms } of trainedSteps(configOf(seed, precision), source, steps, { ...(graph && { graph }) })) {
    if (hasOverflowed(terms)) overflows.push(l.length + 1);
    else if (!Number.isFinite(terms['grad_norm'])) throw new Error(`step ${l.length + 1} in ${precision}: not finite`);
    l.push(terms['l']!);
  }
  return { l, overflows };
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
