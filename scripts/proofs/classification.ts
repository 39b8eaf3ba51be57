/**
 * Heads, accuracies, neighbours and average precision beside PyTorch's and scikit-learn's on the same numbers.
 *
 *   node dist/scripts/proofs/classification.js [--python /usr/bin/python3] [--json]
 *
 * Needs Debian's python3-torch and python3-sklearn. Prints a Markdown table with the largest differences (docs/proofs.md), and
 * fails where one is larger than its limit.
 */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { epochRate } from '../../src/evaluate/classification/linear/trainHeads.js';
import { rankQuery } from '../../src/evaluate/retrieval/rankQuery.js';
import { rankings } from '../../src/evaluate/retrieval/retrieval.js';
import { classRanks, createLinearClassifier } from '../../src/heads/linearClassifier.js';
import { createKnn, topShare } from '../../src/probe/knn.js';
import { stream } from '../../src/tensor/random.js';
import { tensor } from '../../src/tensor/tensor.js';

const { values: flags } = parseArgs({
  options: { python: { type: 'string', default: '/usr/bin/python3' }, json: { type: 'boolean', default: false } },
});

const [N, TESTED, C, CLASSES, BATCH] = [1003, 400, 64, 10, 128];
/** Eight steps an epoch, of which the last has 107 images: 200 steps. */
const EPOCHS = 25;
const STEPS_PER_EPOCH = Math.ceil(N / BATCH);
const settings = { lr: 0.3, momentum: 0.9, weightDecay: 1e-3, k: 20, temperature: 0.07, classes: CLASSES };

const random = stream(15, 'proof');
const normals = (count: number) => Float32Array.from({ length: count }, () => random.normal());
const centres = normals(CLASSES * C);
/** Vectors around the centre of their class, which overlap so much that nothing is classified without errors. */
function clustered(count: number) {
  const labels = Uint32Array.from({ length: count }, () => random.integer(CLASSES));
  const data = normals(count * C);
  for (let i = 0; i < data.length; i++) data[i]! += 0.25 * centres[labels[Math.floor(i / C)]! * C + (i % C)]!;
  return { vectors: tensor('float32', [count, C], data), labels };
}
const train = clustered(N);
const tested = clustered(TESTED);
const ties = { rows: 50, columns: 40 };
const tied = Float32Array.from({ length: ties.rows * ties.columns }, () => random.integer(4) / 4);
const tiedRelevant = Array.from(tied, (_, i) => i % ties.columns === 0 || random.bernoulli(0.2));

const classifier = await createLinearClassifier({
  channels: C,
  classes: CLASSES,
  batchSize: BATCH,
  momentum: settings.momentum,
  weightDecay: settings.weightDecay,
  seed: 1,
});
const parameter = (name: string) => classifier.weights().get(`head.${name}`)!.data as Float32Array;
const initial = { weight: parameter('weight').slice(), bias: parameter('bias').slice() };
const batches: Uint32Array[] = [];
const ours: { loss: number; weight: Float32Array; bias: Float32Array }[] = [];
for (let epoch = 0; epoch < EPOCHS; epoch++) {
  const order = random.permutation(N);
  for (let start = 0; start < N; start += BATCH) {
    const batch = order.subarray(start, start + BATCH);
    batches.push(batch);
    const loss = await classifier.step(
      (i) => train.vectors.data.subarray(batch[i]! * C, (batch[i]! + 1) * C) as Float32Array,
      batch.map((i) => train.labels[i]!),
      ours.length,
      epochRate(settings.lr, epoch, EPOCHS),
    );
    ours.push({ loss, weight: parameter('weight').slice(), bias: parameter('bias').slice() });
  }
}
const ranks = await classRanks(classifier.weights(), tested);
await classifier.close();
const knn = createKnn(settings);
const knnRanks = await knn.ranks(train, tested);
await knn.close();
const found = await rankings(tested, train);
const tiedFound = Array.from({ length: ties.rows }, (_, row) =>
  rankQuery(
    tied.subarray(row * ties.columns, (row + 1) * ties.columns),
    (column) => tiedRelevant[row * ties.columns + column]!,
  ),
);

const folder = await mkdtemp(join(tmpdir(), 'vicregl-proof-'));
const shapes: Record<string, number[]> = {};
const write = async (name: string, shape: number[], data: Float32Array | BigInt64Array) => {
  shapes[name] = shape;
  await writeFile(join(folder, name), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
};
const int64 = (values: Iterable<number>) => BigInt64Array.from(values, BigInt);
interface Theirs {
  readonly torch: string;
  readonly sklearn: string;
  readonly losses: number[];
  readonly topK: Record<string, number>;
  readonly knn: Record<string, number>;
  readonly averagePrecision: number[];
  readonly tiedAveragePrecision: number[];
}
let theirs: Theirs;
let weights: Float32Array;
let biases: Float32Array;
try {
  await write('features', [N, C], train.vectors.data);
  await write('labels', [N], int64(train.labels));
  await write('test', [TESTED, C], tested.vectors.data);
  await write('test_labels', [TESTED], int64(tested.labels));
  await write('weight', [CLASSES, C], initial.weight);
  await write('bias', [CLASSES], initial.bias);
  const padded = batches.flatMap((batch) => [...batch, ...new Array<number>(BATCH - batch.length).fill(-1)]);
  await write('batches', [batches.length, BATCH], int64(padded));
  await write('tied', [ties.rows, ties.columns], tied);
  await write('tied_relevant', [ties.rows, ties.columns], int64(tiedRelevant.map(Number)));
  const task = { ...settings, epochs: EPOCHS, stepsPerEpoch: STEPS_PER_EPOCH, shapes };
  await writeFile(join(folder, 'task.json'), JSON.stringify(task));
  const script = fileURLToPath(new URL('../../../scripts/proofs/classification.py', import.meta.url));
  theirs = JSON.parse(execFileSync(flags.python, [script, folder], { encoding: 'utf8' })) as Theirs;
  const floats = async (name: string) => new Float32Array(Uint8Array.from(await readFile(join(folder, name))).buffer);
  [weights, biases] = [await floats('torch_weights'), await floats('torch_biases')];
} finally {
  await rm(folder, { recursive: true });
}

/** Largest difference over steps, relative to the largest element of the step's tensor. */
function relative(parts: readonly Float32Array[], all: Float32Array): number {
  return Math.max(
    ...parts.map((part, step) => {
      const other = all.subarray(step * part.length, (step + 1) * part.length);
      const scale = other.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      return part.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0) / scale;
    }),
  );
}
const largest = (left: readonly number[], right: readonly number[]) =>
  Math.max(...left.map((value, i) => Math.abs(value - right[i]!)));

const sgd = `torch ${theirs.torch}, SGD and CrossEntropyLoss`;
const scores = `scikit-learn ${theirs.sklearn}`;
const rows = [
  {
    what: `loss of ${ours.length} steps (relative)`,
    against: sgd,
    difference: Math.max(...ours.map(({ loss }, i) => Math.abs(loss - theirs.losses[i]!) / theirs.losses[i]!)),
    limit: 1e-4,
  },
  {
    what: `weights after each of ${ours.length} steps (relative to the largest)`,
    against: sgd,
    difference: relative(
      ours.map(({ weight }) => weight),
      weights,
    ),
    limit: 1e-4,
  },
  {
    what: `biases after each of ${ours.length} steps (relative to the largest)`,
    against: sgd,
    difference: relative(
      ours.map(({ bias }) => bias),
      biases,
    ),
    limit: 1e-4,
  },
  ...[1, 5].map((k) => ({
    what: `top-${k} accuracy of the head (${(topShare(ranks, k) * 100).toFixed(2)} %)`,
    against: `${scores}, top_k_accuracy_score`,
    difference: Math.abs(topShare(ranks, k) - theirs.topK[k]!),
    limit: 1e-9,
  })),
  ...[1, 5].map((k) => ({
    what: `top-${k} accuracy of k-NN, k = ${settings.k} (${(topShare(knnRanks, k) * 100).toFixed(2)} %)`,
    against: `${scores}, KNeighborsClassifier with weights exp(similarity / T)`,
    difference: Math.abs(topShare(knnRanks, k) - theirs.knn[k]!),
    limit: 1e-9,
  })),
  {
    what: `average precision of each of ${TESTED} queries`,
    against: `${scores}, average_precision_score`,
    difference: largest(
      found.map(({ averagePrecision }) => averagePrecision),
      theirs.averagePrecision,
    ),
    limit: 1e-4,
  },
  {
    what: `average precision of ${ties.rows} queries with many equal similarities`,
    against: `${scores}, average_precision_score`,
    difference: largest(
      tiedFound.map(({ averagePrecision }) => averagePrecision),
      theirs.tiedAveragePrecision,
    ),
    limit: 1e-9,
  },
];
if (flags.json) {
  console.log(JSON.stringify(rows));
} else {
  console.log('| what | against | largest difference | limit |\n| --- | --- | --- | --- |');
  for (const { what, against, difference, limit } of rows) {
    console.log(`| ${what} | ${against} | ${difference === 0 ? '0' : difference.toExponential(1)} | ${limit} |`);
  }
}
// A difference that is not a number is none that is small.
const failed = rows.filter(({ difference, limit }) => !(difference <= limit));
if (failed.length > 0) {
  console.error(`different: ${failed.map(({ what }) => what).join('; ')}`);
  process.exitCode = 1;
}
