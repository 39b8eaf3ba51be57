/**
 * What rounding does to a training: two runs of the same batches, one of them with the photographs of every batch in reverse order. The loss does
 * not depend on their order, so the runs differ by the order of their sums alone, as those of other numbers of ranks do (ranks.ts).
 *
 *   node dist/scripts/proofs/rounding.js --images FOLDER [--steps 20] [--batch 16] [--size 64] [--seeds 0,1,2] [--network convnext|resnet]
 *
 * Prints a Markdown table (docs/proofs/distributed.md), a row for each step in which a ReLU is on in one run and off in the other, or in
 * which the norm of the gradient differs by more than 1e-5: the units that differ, the largest of their inputs, and the relative differences of
 * the loss and of the norm of the gradient. Then, as evidence that nothing but such units makes a difference jump, the largest difference in the
 * steps up to each run's first such unit.
 */
import { parseArgs } from 'node:util';
import type { Batch } from '../../src/data/loader.js';
import { openImageSource } from '../../src/data/sources.js';
import type { Graph } from '../../src/onnx/graph.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import type { TrainConfig } from '../../src/train/config.js';
import { loadTrainConfig } from '../../src/train/configFile.js';
import { calmSettings, RECIPES } from './calmTraining.js';
import { trainedSteps } from './trainedSteps.js';

const { values: flags } = parseArgs({
  options: {
    images: { type: 'string' },
    steps: { type: 'string', default: '20' },
    batch: { type: 'string', default: '16' },
    size: { type: 'string', default: '64' },
    seeds: { type: 'string', default: '0,1,2' },
    network: { type: 'string', default: 'convnext' },
  },
});
if (flags.images === undefined) throw new Error('--images FOLDER: photographs to train on');
const { images, network } = flags;
const [steps, batch, size] = [flags.steps, flags.batch, flags.size].map(Number) as [number, number, number];
const recipe = Object.hasOwn(RECIPES, network) ? RECIPES[network as keyof typeof RECIPES] : undefined;
if (recipe === undefined) throw new Error(`--network is ${network}; it is convnext or resnet`);
const source = await openImageSource(images, { given: '--images' });
const perEpoch = Math.floor(source.count / batch);

const configOf = (seed: number): Promise<TrainConfig> =>
  loadTrainConfig(`recipes/${recipe}.yaml`, [
    `seed=${seed}`,
    ...calmSettings({ images, size, batch, epochs: steps / perEpoch }),
  ]);

/**
 * A tensor with the photographs in reverse order. Their axis is the first of B elements, or of 2 B, where both views stand one after the other; a tensor
 * without it (a value for each dimension of the batch) stays as it is.
 */
function reversed<T extends Tensor>({ dtype, shape, data }: T): T {
  const axis = shape.findIndex((length) => length === batch || length === 2 * batch);
  const result = data.slice();
  if (axis >= 0) {
    const inner = shape.slice(axis + 1).reduce((product, length) => product * length, 1);
    for (let from = 0; from < data.length; from += inner) {
      const row = from / inner;
      const to = (row - (row % batch) + (batch - 1 - (row % batch))) * inner;
      (result as Uint8Array).set((data as Uint8Array).subarray(from, from + inner), to);
    }
  }
  return tensor(dtype, shape, result) as T;
}

const reversedBatch = ({ views, locations, ...rest }: Batch): Batch => ({
  ...rest,
  views: views.map(reversed),
  locations: locations.map(reversed),
});

/** What a step of a run gives: its logged terms, and the inputs of its ReLUs. */
interface Step {
  readonly l: number;
  readonly norm: number;
  readonly inputs: readonly Tensor[];
}

/** The steps of a run, one by one. */
async function* run(seed: number, isReversed: boolean): AsyncGenerator<Step> {
  let names: string[] = [];
  const changes = {
    graph(graph: Graph) {
      const relus = graph.nodes.filter(({ operator }) => operator === 'Relu');
      names = relus.map((node, i) => {
        graph.output(`relu/${i}`, node.inputs[0]!);
        return `relu/${i}`;
      });
      return graph;
    },
    ...(isReversed && { batch: reversedBatch }),
  };
  for await (const { terms, results } of trainedSteps(await configOf(seed), source, steps, changes)) {
    const inputs = names.map((name) => results.get(name)!);
    yield { l: terms['l']!, norm: terms['grad_norm']!, inputs };
  }
}

/** Units that are on in one run and off in the other, and the largest of their inputs. */
function flips(mine: readonly Tensor[], theirs: readonly Tensor[]): { count: number; largest: number; all: number } {
  let [count, largest, all] = [0, 0, 0];
  for (const [i, input] of mine.entries()) {
    const own = input.data as Float32Array;
    const other = reversed(theirs[i]!).data as Float32Array;
    all += own.length;
    own.forEach((value, at) => {
      if (value > 0 === other[at]! > 0) return;
      count++;
      largest = Math.max(largest, Math.abs(value), Math.abs(other[at]!));
    });
  }
  return { count, largest, all };
}

const relative = (mine: number, theirs: number): number => Math.abs(mine / theirs - 1);
let units = 0;
const before = { l: 0, norm: 0, steps: 0 };
const head = ['seed', 'step', 'units that differ', 'largest input of these', 'loss', 'norm of the gradient'];
console.log(`| ${head.join(' | ')} |\n|${' --- |'.repeat(head.length)}`);
for (const seed of flags.seeds.split(',').map(Number)) {
  const other = run(seed, true);
  let at = 0;
  let isCalm = true;
  for await (const mine of run(seed, false)) {
    const theirs = (await other.next()).value as Step;
    at++;
    const { count, largest, all } = flips(mine.inputs, theirs.inputs);
    units = all;
    const [l, norm] = [relative(mine.l, theirs.l), relative(mine.norm, theirs.norm)];
    isCalm &&= count === 0;
    if (isCalm) {
      before.l = Math.max(before.l, l);
      before.norm = Math.max(before.norm, norm);
      before.steps++;
    }
    if (count === 0 && norm < 1e-5) continue;
    const cells = [
      seed,
      at,
      count,
      count === 0 ? '' : largest.toExponential(1),
      l.toExponential(1),
      norm.toExponential(1),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
  await other.return(undefined);
}
await source.close();
console.log(`\n${units} units a step.`);
if (before.steps > 0)
  console.log(
    `In the ${before.steps} steps before a first unit differs, the loss differs by at most ${before.l.toExponential(1)}, ` +
      `and the norm of the gradient by ${before.norm.toExponential(1)}.`,
  );
