import type { Value } from '../onnx/graph.js';
import { stopGradient } from '../onnx/ops/differentiation.js';
import { add, div, mul, sqrt, sub } from '../onnx/ops/elementwise.js';
import { sumAcrossRanks } from '../onnx/ops/exchange.js';
import { type BatchNormOutputs, batchNorm } from '../onnx/ops/normalisation.js';
import { reduceMean } from '../onnx/ops/reduce.js';
import { concat, reshape, slice, transpose } from '../onnx/ops/shape.js';
import { elementCount } from '../tensor/tensor.js';
import { ONES, ZEROS } from './layers.js';
import type { Initialiser, Parameters } from './parameters.js';

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
  const { mean, variance, y } = normalise(x, { weight, bias, running, channelAxis, ranks: parameters.ranks });
  const count = (parameters.ranks * elementCount(x.shape as readonly number[])) / channels;
  const vector = (statistic: Value) => reshape(statistic, [channels]);
  updateBatchNormBuffers(parameters, name, { mean: vector(mean), variance: vector(variance), count });
  return y;
}

interface Normalisation {
  readonly weight: Value;
  readonly bias: Value;
  /** Before the step. */
  readonly running: RunningStatistics;
  readonly channelAxis: number;
  readonly ranks: number;
}

/**
 * Normalises by the batch's statistics: with several ranks, those of all their photographs, as PyTorch's SyncBatchNorm does. For one
 * rank, the CPU provider has one operator for it, which takes each channel as a row; else it is composed of elementary operators.
 */
function normalise(x: Value, { weight, bias, running, channelAxis, ranks }: Normalisation): BatchNormOutputs {
  const shape = x.shape as readonly number[];
  const channels = shape[channelAxis]!;
  const others = shape.map((_, axis) => axis).filter((axis) => axis !== channelAxis);
  if (x.graph.provider === 'cpu' && ranks === 1 && elementCount(shape) > channels) {
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
  if (ranks === 1) {
    return { y: add(mul(centred, scaleBy(ownVariance)), spread(bias)), mean: own, variance: ownVariance };
  }
  // One exchange for both, of this rank's mean and mean square. They are taken about the running mean, which all ranks share and which is
  // near after a run's first steps: about 0, the difference of two large squares would lose the variance of channels whose mean is large.
  const shift = spread(running.mean);
  const offset = sub(own, shift);
  const [axis] = others as [number];
  const sums = sumAcrossRanks(concat([offset, add(ownVariance, mul(offset, offset))], axis));
  const [first, second] = [0, 1].map((i) => mul(slice(sums, [{ axis, start: i, end: i + 1 }]), 1 / ranks)) as [
    Value,
    Value,
  ];
  const mean = add(shift, first);
  const variance = sub(second, mul(first, first));
  const scale = scaleBy(variance);
  return { y: add(mul(centred, scale), add(mul(sub(own, mean), scale), spread(bias))), mean, variance };
}
