import type { Value } from '../onnx/graph.js';
import { add, div, mul, sqrt, stopGradient, sub } from '../onnx/ops/elementwise.js';
import { reduceMean } from '../onnx/ops/reduce.js';
import { reshape } from '../onnx/ops/shape.js';
import { elementCount } from '../tensor/tensor.js';
import { ONES, ZEROS } from './layers.js';
import type { Initialiser, Parameters } from './parameters.js';

/** PyTorch's defaults. */
const EPSILON = 1e-5;
const MOMENTUM = 0.1;

/**
 * Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) over all axes but `channelAxis`; parameters `name.weight`,
 * `name.bias` [C], buffers `name.running_mean`, `name.running_var` [C].
 *
 * In training it is composed of standard operators: the batch's biased variance normalises, the unbiased one enters the
 * running variance with momentum 0.1. Otherwise the running statistics become one scale and one shift, which ONNX
 * Runtime folds into constants.
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
  const runningMean = parameters.buffer(`${name}.running_mean`, [channels], ZEROS);
  const runningVariance = parameters.buffer(`${name}.running_var`, [channels], ONES);
  const along = x.shape.map((_, axis) => (axis === channelAxis ? channels : 1));
  const spread = (vector: Value) => reshape(vector, along);

  if (!parameters.training) {
    const scale = div(weight, sqrt(add(runningVariance, EPSILON)));
    return add(mul(x, spread(scale)), spread(sub(bias, mul(runningMean, scale))));
  }
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== channelAxis);
  const mean = reduceMean(x, axes, { keepDims: true });
  const centred = sub(x, mean);
  const variance = reduceMean(mul(centred, centred), axes, { keepDims: true });
  const count = elementCount(x.shape as readonly number[]) / channels;
  const blend = (running: Value, batch: Value) =>
    add(mul(running, 1 - MOMENTUM), mul(stopGradient(reshape(batch, [channels])), MOMENTUM));
  parameters.updateBuffer(`${name}.running_mean`, blend(runningMean, mean));
  parameters.updateBuffer(`${name}.running_var`, blend(runningVariance, mul(variance, count / (count - 1))));
  const scale = div(spread(weight), sqrt(add(variance, EPSILON)));
  return add(mul(centred, scale), spread(bias));
}
