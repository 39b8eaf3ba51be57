import { linearLayer, ZEROS } from '../nn/layers.js';
import type { Parameters } from '../nn/parameters.js';
import { encodeModel } from '../onnx/encode.js';
import { Graph, type Value } from '../onnx/graph.js';
import { mul, neg } from '../onnx/ops/elementwise.js';
import { gatherElements } from '../onnx/ops/indexing.js';
import { gemm } from '../onnx/ops/linear.js';
import { logSoftmax, reduceSum } from '../onnx/ops/reduce.js';
import { unsqueeze } from '../onnx/ops/shape.js';
import { createSession, runSession, type SessionConfig } from '../onnx/session.js';
import { type SgdConfig, sgd } from '../optim/sgd.js';
import { classRank, paddedRows } from '../tensor/rows.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { createHeadTrainer } from './headTrainer.js';

/**
 * Linear classification of representations (docs/evaluation.md, Linear): logits W x + b, cross-entropy, SGD. The authors'
 * initialisation: weights N(0, 0.01), biases zero.
 */

/** Parameters: `head.weight` [classes, C] and `head.bias` [classes]. */
const NAME = 'head';

/** Emits the logits [B, classes] of features [B, C]. */
function linearLogits(features: Value, parameters: Parameters, classes: number): Value {
  return linearLayer(features, parameters, NAME, classes, {
    weightInit: { kind: 'normal', std: 0.01 },
    biasInit: ZEROS,
  });
}

export interface LinearClassifierOptions extends Pick<SgdConfig, 'momentum' | 'weightDecay'> {
  /** C of the features. */
  readonly channels: number;
  readonly classes: number;
  /** Most images of a step. */
  readonly batchSize: number;
  /** Seed of the initial weights. */
  readonly seed: number;
  readonly session?: SessionConfig;
  /** What `state` gave, to go on from. */
  readonly resumed?: ReadonlyMap<string, Tensor>;
}

/** A linear classifier in training. */
export interface LinearClassifier {
  /**
   * Takes a step on some images; the loss is the mean over them, as PyTorch has it for a smaller last batch too.
   * @param rowOf features [C] of the image at a place of the batch.
   * @param labels their classes, at most `batchSize`.
   * @param step counted from 0.
   * @returns the loss before the update.
   * @throws DivergedError; the weights are then those before the step.
   */
  step(
    rowOf: (place: number) => Float32Array,
    labels: ArrayLike<number>,
    step: number,
    learningRate: number,
  ): Promise<number>;
  /** Weights and momentum, for resuming. */
  state(): ReadonlyMap<string, Tensor>;
  /** `head.weight` [classes, C] and `head.bias` [classes]. */
  weights(): ReadonlyMap<string, Tensor>;
  close(): Promise<void>;
}

/**
 * Creates a classifier with random weights, or those to go on from. Weight decay applies to weights and biases alike, as in
 * the authors' evaluation.
 * @throws ParameterError for a resumed state that does not fit.
 */
export async function createLinearClassifier(options: LinearClassifierOptions): Promise<LinearClassifier> {
  const { channels, classes, batchSize, momentum, weightDecay, seed, session, resumed } = options;
  const trainer = await createHeadTrainer(
    (parameters) => {
      const { graph } = parameters;
      const features = graph.input('features', 'float32', [batchSize, channels]);
      const labels = graph.input('labels', 'int64', [batchSize]);
      const shares = graph.input('shares', 'float32', [batchSize]);
      const logits = linearLogits(features, parameters, classes);
      const own = reduceSum(gatherElements(logSoftmax(logits), unsqueeze(labels, [1]), 1), [1]);
      return { loss: neg(reduceSum(mul(own, shares))), logs: {} };
    },
    {
      optimizer: sgd({ momentum, weightDecay, decayVectors: true }),
      seed,
      ...(session && { session }),
      ...(resumed && { resumed }),
    },
  );
  const features = new Float32Array(batchSize * channels);
  const classOf = new BigInt64Array(batchSize);
  const shares = new Float32Array(batchSize);
  const feeds = new Map<string, Tensor>([
    ['features', tensor('float32', [batchSize, channels], features)],
    ['labels', tensor('int64', [batchSize], classOf)],
    ['shares', tensor('float32', [batchSize], shares)],
  ]);
  return {
    async step(rowOf, labels, step, learningRate) {
      const count = labels.length;
      if (count < 1 || count > batchSize) throw new RangeError(`a step takes 1 to ${batchSize} images, not ${count}`);
      // Places beyond a smaller batch hold an earlier batch's images, which have no share in the loss.
      shares.fill(0).fill(1 / count, 0, count);
      for (let i = 0; i < count; i++) {
        features.set(rowOf(i), i * channels);
        classOf[i] = BigInt(labels[i]!);
      }
      return (await trainer.step(feeds, step, learningRate))['loss']!;
    },
    state: trainer.state,
    weights: trainer.weights,
    close: trainer.close,
  };
}

/** Logits that one run holds: 64 MiB. */
const MAX_LOGITS = 2 ** 24;

/**
 * Ranks of the true classes by the logits of trained weights, from 0: an image counts for top-5 accuracy where its rank is
 * below 5. Classes of equal logits rank by their index; an image whose logits are not finite ranks behind all classes.
 * @param weights see `LinearClassifier.weights`.
 * @param vectors [N, C].
 * @param labels class of each.
 */
export async function classRanks(
  weights: ReadonlyMap<string, Tensor>,
  { vectors, labels }: { readonly vectors: Tensor<'float32'>; readonly labels: Uint32Array },
  session: SessionConfig = {},
): Promise<Uint32Array> {
  const [count, channels] = vectors.shape as readonly [number, number];
  const weight = weights.get(`${NAME}.weight`)!;
  const classes = weight.shape[0]!;
  const batch = Math.max(1, Math.min(count, Math.floor(MAX_LOGITS / Math.max(classes, channels))));
  const graph = new Graph(undefined, session.device ?? 'cpu');
  const features = graph.input('features', 'float32', [batch, channels]);
  graph.output(
    'logits',
    gemm(features, graph.constant(weight), { transB: true, bias: graph.constant(weights.get(`${NAME}.bias`)!) }),
  );
  const running = await createSession(encodeModel(graph), session);
  try {
    const ranks = new Uint32Array(count);
    for (let start = 0; start < count; start += batch) {
      const found = await runSession(running, { features: paddedRows(vectors, start, batch) });
      const logits = found.get('logits')!.data as Float32Array;
      for (let i = 0; i < batch && start + i < count; i++) {
        ranks[start + i] = classRank(logits.subarray(i * classes, (i + 1) * classes), labels[start + i]!);
      }
    }
    return ranks;
  } finally {
    await running.release();
  }
}
