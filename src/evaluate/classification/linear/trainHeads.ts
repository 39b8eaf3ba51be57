import type { SkippedImage } from '../../../data/sample.js';
import { DivergedError } from '../../../heads/headTrainer.js';
import { createLinearClassifier, type LinearClassifier } from '../../../heads/linearClassifier.js';
import type { SessionConfig } from '../../../onnx/session.js';
import { stream } from '../../../tensor/random.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { CachedPart, SavedProgress } from '../../featureCache.js';
import type { EpochFeatures, FeatureRows } from './epochFeatures.js';

/** One of the heads that are trained side by side on the same features. */
export interface HeadPlan {
  /** Of the first epoch. */
  readonly learningRate: number;
  /** Of initial weights and batch order. */
  readonly seed: number;
  /** Whether it learns from the image at a place. Default: from all. */
  readonly learns?: readonly boolean[];
}

export interface TrainedHead {
  /** Mean training loss of each epoch. */
  readonly losses: readonly number[];
  /** Undefined where the head diverged. */
  readonly weights?: ReadonlyMap<string, Tensor>;
  /** Epoch, from 0, in which it diverged. */
  readonly diverged?: number;
}

export interface TrainHeadsOptions {
  readonly classes: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly session?: SessionConfig;
  /** How far the training has come. It must belong to these plans, options and features. */
  readonly saved: SavedProgress;
  /** Least time between two savings, except for the last. Default 5 seconds. */
  readonly saveSeconds?: number;
}

/** Learning rate of an epoch: half a cosine over the epochs, constant within each, as in the authors' evaluation. */
export function epochRate(learningRate: number, epoch: number, epochs: number): number {
  return learningRate * 0.5 * (1 + Math.cos((Math.PI * epoch) / epochs));
}

interface Head {
  readonly plan: HeadPlan;
  readonly classifier: LinearClassifier;
  readonly losses: number[];
  diverged?: number;
}

interface HeadRecord {
  readonly losses: readonly number[];
  readonly diverged?: number;
}

/**
 * Trains heads on the features of each epoch, which are computed once for all. An interrupted training goes on at its last
 * saved epoch, with the same results.
 * @param openFeatures given the images that are known to be broken.
 * @returns the heads in the order of the plans, and the images that could not be decoded.
 * @throws DivergedError where all heads have diverged.
 */
export async function trainHeads(
  openFeatures: (skipped: readonly SkippedImage[]) => EpochFeatures,
  plans: readonly HeadPlan[],
  options: TrainHeadsOptions,
): Promise<{ readonly heads: readonly TrainedHead[]; readonly skipped: readonly SkippedImage[] }> {
  const { epochs, saved, saveSeconds = 5 } = options;
  const found = await saved.read();
  const records = JSON.parse(found?.metadata['heads'] ?? '[]') as HeadRecord[];
  const features = openFeatures(JSON.parse(found?.metadata['skipped'] ?? '[]') as SkippedImage[]);
  const heads: Head[] = [];
  try {
    for (const [i, plan] of plans.entries()) {
      const { losses = [], diverged } = records[i] ?? {};
      heads.push({
        plan,
        classifier: await openHead(plan, features.channels, options, found && stateOf(found, i)),
        losses: [...losses],
        ...(diverged !== undefined && { diverged }),
      });
    }
    let last = performance.now();
    for (let epoch = Number(found?.metadata['epochs'] ?? 0); epoch < epochs; epoch++) {
      await trainEpoch(features, heads, epoch, options);
      if (heads.every(({ diverged }) => diverged !== undefined)) throw allDiverged(heads);
      if (epoch + 1 < epochs && performance.now() - last < saveSeconds * 1000) continue;
      await saved.write(partOf(heads, features, epoch + 1));
      last = performance.now();
    }
    return {
      heads: heads.map(({ classifier, losses, diverged }) =>
        diverged === undefined ? { losses, weights: classifier.weights() } : { losses, diverged },
      ),
      skipped: features.skipped(),
    };
  } finally {
    for (const { classifier } of heads) await classifier.close();
    await features.close();
  }
}

function openHead(
  { seed }: HeadPlan,
  channels: number,
  { classes, batchSize, momentum, weightDecay, session }: TrainHeadsOptions,
  resumed: ReadonlyMap<string, Tensor> | undefined,
): Promise<LinearClassifier> {
  return createLinearClassifier({
    channels,
    classes,
    batchSize,
    momentum,
    weightDecay,
    seed,
    ...(session && { session }),
    ...(resumed && { resumed }),
  });
}

async function trainEpoch(
  features: EpochFeatures,
  heads: readonly Head[],
  epoch: number,
  { epochs, batchSize }: TrainHeadsOptions,
): Promise<void> {
  const sums = heads.map(() => ({ loss: 0, images: 0 }));
  let window = 0;
  for await (const rows of features.epoch(epoch)) {
    for (const [i, head] of heads.entries()) {
      if (head.diverged !== undefined) continue;
      const rate = epochRate(head.plan.learningRate, epoch, epochs);
      try {
        const { loss, images } = await trainWindow(head, rows, stream(head.plan.seed, 'linear order', epoch, window), {
          batchSize,
          rate,
        });
        sums[i]!.loss += loss;
        sums[i]!.images += images;
      } catch (error) {
        if (!(error instanceof DivergedError)) throw error;
        head.diverged = epoch;
      }
    }
    window++;
  }
  for (const [i, { losses, diverged }] of heads.entries()) {
    const { loss, images } = sums[i]!;
    if (diverged === undefined) losses.push(loss / images);
  }
}

/** Takes the steps on a window. @returns the sum of the images' losses, and their number. */
async function trainWindow(
  { plan: { learns }, classifier }: Head,
  { count, labels, places, rowOf }: FeatureRows,
  random: { permutation(n: number): Uint32Array },
  { batchSize, rate }: { readonly batchSize: number; readonly rate: number },
): Promise<{ readonly loss: number; readonly images: number }> {
  const permutation = random.permutation(count);
  const order = learns ? permutation.filter((i) => learns[places[i]!]) : permutation;
  let sum = 0;
  for (let start = 0; start < order.length; start += batchSize) {
    const batch = order.subarray(start, start + batchSize);
    const own = batch.map((i) => labels[i]!);
    sum += batch.length * (await classifier.step((place) => rowOf(batch[place]!), own, start / batchSize, rate));
  }
  return { loss: sum, images: order.length };
}

function allDiverged(heads: readonly Head[]): DivergedError {
  const rates = [...new Set(heads.map(({ plan }) => plan.learningRate))].join(', ');
  const epoch = Math.max(...heads.map(({ diverged }) => diverged!)) + 1;
  return new DivergedError(
    `the linear head diverged in epoch ${epoch} with a learning rate of ${rates}: its loss or weights are not finite; use a lower --lr`,
  );
}

function partOf(heads: readonly Head[], features: EpochFeatures, epochs: number): CachedPart {
  const tensors = heads.flatMap(({ classifier }, i) =>
    [...classifier.state()].map(([name, value]) => [`${i}/${name}`, value] as const),
  );
  const records = heads.map(
    ({ losses, diverged }): HeadRecord => ({ losses, ...(diverged !== undefined && { diverged }) }),
  );
  return {
    tensors: new Map(tensors),
    metadata: {
      epochs: String(epochs),
      heads: JSON.stringify(records),
      skipped: JSON.stringify(features.skipped()),
    },
  };
}

function stateOf({ tensors }: CachedPart, head: number): Map<string, Tensor> {
  const prefix = `${head}/`;
  return new Map(
    [...tensors].flatMap(([name, value]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [])),
  );
}
