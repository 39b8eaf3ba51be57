/**
 * Training by mpirun beside one process: the same global batches on 1, 2 and 4 ranks.
 *
 *   node dist/scripts/proofs/ranks.js --images FOLDER [--steps 20] [--batch 16] [--size 64]
 *     [--seeds 0,1,2] [--networks ConvNeXt-atto] [--keep FOLDER]
 *
 * ConvNeXt-atto and ResNet-18 as the bundled recipes have them, with smaller views and batches. Prints a Markdown table
 * (docs/proofs/distributed.md): for each seed the largest relative difference of the logged loss from the one process, and that of the weights after the
 * last step (all as one vector); the median time of a step, and the share of it that rank 0 spends in exchanges, its waiting for the others included.
 * Fails where the loss of the first steps differs by more than its limit. Needs Open MPI (mpirun.openmpi).
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import { openImageSource } from '../../src/data/sources.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import type { StepRecord } from '../../src/train/runLog.js';
import { runRecords } from '../../test/support/runRecords.js';
import { calmSettings, RECIPES } from './calmTraining.js';

const { values: flags } = parseArgs({
  options: {
    images: { type: 'string' },
    steps: { type: 'string', default: '20' },
    batch: { type: 'string', default: '16' },
    size: { type: 'string', default: '64' },
    seeds: { type: 'string', default: '0' },
    networks: { type: 'string' },
    keep: { type: 'string' },
  },
});
if (flags.images === undefined) throw new Error('--images FOLDER: photographs to train on');
const { images } = flags;
const [steps, batch, size] = [flags.steps, flags.batch, flags.size].map(Number) as [number, number, number];
const seeds = flags.seeds.split(',').map(Number);

interface Network {
  readonly recipe: string;
  readonly set: readonly string[];
  /** The same mathematics in one process, summed in another order: what rounding alone does. */
  readonly reordered: string;
  /** Of the difference in the first steps. None where the mathematics is another one. */
  readonly limit?: number;
}

const NETWORKS: Readonly<Record<string, Network>> = {
  'ConvNeXt-atto': { recipe: RECIPES.convnext, set: [], reordered: `microBatch=${batch / 2}`, limit: 1e-5 },
  'ResNet-18': { recipe: RECIPES.resnet, set: [], reordered: 'threads=1', limit: 1e-4 },
  'ResNet-18, statistics of each rank': {
    recipe: RECIPES.resnet,
    set: ['syncBatchNorm=false'],
    reordered: 'threads=1',
  },
};
const networks = flags.networks?.split(',') ?? Object.keys(NETWORKS);
for (const name of networks) if (!(name in NETWORKS)) throw new Error(`--networks ${name}: ${Object.keys(NETWORKS)}`);
/** Steps before rounding has grown: the third depends on two updates of the weights. */
const FIRST = 3;

const source = await openImageSource(images, { given: '--images' });
const epochs = (steps * batch) / (Math.floor(source.count / batch) * batch);
await source.close();

function run(out: string, ranks: number, recipe: string, set: readonly string[]): void {
  const keys = [...calmSettings({ images, size, batch, epochs }), ...set].flatMap((key) => ['--set', key]);
  const train = ['bin/vicregl.js', 'train', '--recipe', recipe, '--out', out, ...keys];
  const ranked = ['--allow-run-as-root', '--oversubscribe', '-n', String(ranks), process.execPath, ...train];
  const [program, args] =
    ranks === 1 ? [process.execPath, train] : ['mpirun.openmpi', [...ranked, '--distributed', 'mpi']];
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Norm of the difference of all weights, relative to theirs. */
function weightDifference(mine: ReadonlyMap<string, Tensor>, theirs: ReadonlyMap<string, Tensor>): number {
  let [error, norm] = [0, 0];
  for (const [name, { data }] of theirs) {
    if (name.includes('/')) continue;
    const own = mine.get(name)!.data as Float32Array;
    (data as Float32Array).forEach((value, i) => {
      error += (own[i]! - value) ** 2;
      norm += value ** 2;
    });
  }
  return Math.sqrt(error / norm);
}

const recordsOf = async (out: string): Promise<StepRecord[]> =>
  (await runRecords(out)).filter((record): record is StepRecord => 'l' in record);

const scratch = flags.keep ?? (await mkdtemp(join(tmpdir(), 'vicregl-ranks-')));
const failed: string[] = [];
try {
  const head = [
    'network',
    'ranks',
    `loss, steps 1 to ${FIRST}`,
    `loss, steps 1 to ${steps}`,
    'weights',
    'step, s',
    'in exchanges',
  ];
  console.log(`| ${head.join(' | ')} |\n|${' --- |'.repeat(head.length)}`);
  for (const network of networks) {
    const { recipe, limit, set, reordered } = NETWORKS[network]!;
    const forms = [
      { name: '1', ranks: 1, more: [] },
      { name: `1, ${reordered}`, ranks: 1, more: [reordered] },
      { name: '2', ranks: 2, more: [] },
      { name: '4', ranks: 4, more: [] },
    ];
    for (const { name, ranks, more } of forms) {
      const differences: { first: number; all: number; weights: number }[] = [];
      const records: StepRecord[] = [];
      for (const seed of seeds) {
        const folder = (form: string): string => join(scratch, `${network} ${seed} ${form}`.replaceAll(/\W+/g, '-'));
        run(folder(name), ranks, recipe, [...set, ...more, `seed=${seed}`]);
        const [own, alone] = await Promise.all([recordsOf(folder(name)), recordsOf(folder('1'))]);
        if (own.length !== steps) throw new Error(`${folder(name)}: ${own.length} steps`);
        const losses = own.map(({ l }, i) => Math.abs(l! / alone[i]!['l']! - 1));
        const [mine, theirs] = await Promise.all([loadCheckpoint(folder(name)), loadCheckpoint(folder('1'))]);
        differences.push({
          first: Math.max(...losses.slice(0, FIRST)),
          all: Math.max(...losses),
          weights: weightDifference(mine.tensors, theirs.tensors),
        });
        records.push(...own.slice(2));
      }
      if (limit !== undefined && !differences.every(({ first }) => first <= limit))
        failed.push(`${network} on ${name} ranks`);
      const each = (key: 'first' | 'all' | 'weights'): string =>
        name === '1' ? '' : differences.map((difference) => difference[key].toExponential(1)).join(', ');
      const seconds = median(records.map(({ images_per_s }) => batch / images_per_s));
      const share = median(records.map((record) => record['exchange_share'] ?? 0));
      const cells = [
        ...[network, name, each('first'), each('all'), each('weights')],
        ...[seconds.toFixed(2), ranks === 1 ? '' : `${(100 * share).toFixed(0)} %`],
      ];
      console.log(`| ${cells.join(' | ')} |`);
    }
  }
} finally {
  if (flags.keep === undefined) await rm(scratch, { recursive: true });
}
if (failed.length > 0) {
  console.error(`different: ${failed.join('; ')}`);
  process.exitCode = 1;
}
