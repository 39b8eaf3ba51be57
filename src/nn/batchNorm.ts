import type { Value } from '../onnx/graph.js';
import { stopGradient } from '../onnx/ops/differentiation.js';
import { add, div, mul, sqrt, sub } from '../onnx/ops/elementwise.js';
import { gatherAcrossRanks } from '../onnx/ops/exchange.js';
import { type BatchNormOutputs, batchNorm } from '../onnx/ops/normalisation.js';
import { reduceMean } from '../onnx/ops/reduce.js';
import { concat, reshape, slice, transpose } from '../onnx/ops/shape.js';
import { elementCount } from '../tensor/tensor.js';
import { ONES, ZEROS } from './layers.js';
import type { Initialiser, Parameters, RankOf } from './parameters.js';

/** PyTorch's defaults. */
export const BATCH_NORM_EPSILON = 1e-5;
const EPSILON = BATCH_NORM_EPSILON;
const MOMENTUM = 0.1;

/** Running statistics of a layer [C], before a step. */
export interface RunningStatistics {
  readonly mean: Value;
  readonly variance: Value;
}

/** The running statistics of the layer `name`, as buffers. */
function batchNormBuffers(parameters: Parameters, name: string, channels: number): RunningStatistics {
  return {
    mean: parameters.buffer(`${name}.running_mean`, [channels], ZEROS),
    variance: parameters.buffer(`${name}.running_var`, [channels], ONES),
  };
}

/**
 * Moves the running statistics of the layer `name` to those of a batch, by the momentum 0.1.
 * @param batch mean and biased variance over `count` elements of every channel.
 */
export function updateBatchNormBuffers(
  parameters: Parameters,
  name: string,
  { mean, variance, count }: RunningStatistics & { readonly count: number },
): void {
  const channels = mean.shape[0] as number;
  const running = batchNormBuffers(parameters, name, channels);
  const blend = (old: Value, batch: Value) => add(mul(old, 1 - MOMENTUM), mul(stopGradient(batch), MOMENTUM));
  parameters.updateBuffer(`${name}.running_mean`, blend(running.mean, mean));
  parameters.updateBuffer(`${name}.running_var`, blend(running.variance, mul(variance, count / (count - 1))));
}

/**
 * Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) over all axes but `channelAxis`; parameters `name.weight`,
 * `name.bias` [C], buffers `name.running_mean`, `name.running_var` [C].
 *
 * Training normalises by the batch's biased variance, and updates the running variance by the unbiased one with momentum
 * 0.1. Evaluation scales and shifts by the running statistics, which ONNX Runtime folds into constants.
 */
export function batchNormLayer(
  x: Value,
  parameters: Parameters,
  name: string,
  channelAxis: number,
  weightInit: Initialiser = ONES,
): Value {
  const channels = x.shape[channelAxis] as number;
  const weight = parameters.get(`${name}.weight`, [channels], weightInit);
  const bias = parameters.get(`${name}.bias`, [channels], ZEROS);
  const running = batchNormBuffers(parameters, name, channels);
  const along = x.shape.map((_, axis) => (axis === channelAxis ? channels : 1));
  const spread = (vector: Value) => reshape(vector, along);

  if (!parameters.training) {
    const scale = div(weight, sqrt(add(running.variance, EPSILON)));
    return add(mul(x, spread(scale)), spread(sub(bias, mul(running.mean, scale))));
  }
  const { ranks } = parameters;
  const { mean, variance, y } = normalise(x, { weight, bias, channelAxis, ranks });
  const count = (ranks.size * elementCount(x.shape as readonly number[])) / channels;
  const vector = (statistic: Value) => reshape(statistic, [channels]);
  updateBatchNormBuffers(parameters, name, { mean: vector(mean), variance: vector(variance), count });
  return y;
}

interface Normalisation {
  readonly weight: Value;
  readonly bias: Value;
  readonly channelAxis: number;
  readonly ranks: RankOf;
}

/**
 * Normalises by the batch's statistics: with several ranks, those of all their photographs, as PyTorch's SyncBatchNorm does. For one
 * rank, the CPU provider has one operator for it, which takes each channel as a row; else it is composed of elementary operators.
 */
function normalise(x: Value, { weight, bias, channelAxis, ranks }: Normalisation): BatchNormOutputs {
  const shape = x.shape as readonly number[];
  const channels = shape[channelAxis]!;
  const others = shape.map((_, axis) => axis).filter((axis) => axis !== channelAxis);
  if (x.graph.provider === 'cpu' && ranks.size === 1 && elementCount(shape) > channels) {
    const order = [channelAxis, ...others];
    const rows = channelAxis === 0 ? x : transpose(x, order);
    const { y, mean, variance } = batchNorm(reshape(rows, [1, channels, -1]), weight, bias, EPSILON);
    const whole = reshape(y, rows.shape as readonly number[]);
    const back = shape.map((_, axis) => order.indexOf(axis));
    return { y: channelAxis === 0 ? whole : transpose(whole, back), mean, variance };
  }
  const spread = (vector: Value) =>
    reshape(
      vector,
      shape.map((_, axis) => (axis === channelAxis ? channels : 1)),
    );
  const scaleBy = (variance: Value) => div(spread(weight), sqrt(add(variance, EPSILON)));
  const own = reduceMean(x, others, { keepDims: true });
  const centred = sub(x, own);
  const ownVariance = reduceMean(mul(centred, centred), others, { keepDims: true });
  if (ranks.size === 1) {
    return { y: add(mul(centred, scaleBy(ownVariance)), spread(bias)), mean: own, variance: ownVariance };
  }
  // One exchange for both, as PyTorch's SyncBatchNorm has it. The variance is composed of variances and centred means, all squares: the
  // difference of mean squares would lose that of a channel whose mean is large beside it, and might be negative.
  const vector = (statistic: Value) => reshape(statistic, [1, channels]);
  const all = gatherAcrossRanks(concat([vector(own), vector(ownVariance)], 1), ranks);
  const [means, variances] = [0, channels].map((start) => slice(all, [{ axis: 1, start, end: start + channels }])) as [
    Value,
    Value,
  ];
  const overRanks = (values: Value) => reduceMean(values, [0], { keepDims: true });
  const mean = overRanks(means);
  const apart = sub(means, mean);
  const variance = add(overRanks(variances), overRanks(mul(apart, apart)));
  const scale = scaleBy(spread(variance));
  return {
    y: add(mul(centred, scale), add(mul(sub(own, spread(mean)), scale), spread(bias))),
    mean,
    variance,
  };
}
