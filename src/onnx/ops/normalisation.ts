import { tensor } from '../../tensor/tensor.js';
import { emitOne, type Value } from '../graph.js';
import { formatShape, GraphError, sameShape, staticShape } from '../shapes.js';
import { reshape, slice } from './shape.js';

/**
 * Layer normalisation over the last axis (Ba et al., arXiv 1607.06450), biased variance:
 * x [..., C], scale [C], bias [C] -> [..., C].
 */
export function layerNorm(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  const channels = x.shape.at(-1);
  if (channels === undefined || !sameShape(scale.shape, [channels]) || !sameShape(bias.shape, [channels])) {
    throw new GraphError(
      `LayerNormalization: input ${formatShape(x.shape)} does not fit scale ${formatShape(scale.shape)} and bias ${formatShape(bias.shape)}`,
    );
  }
  const statistics = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
  // Mean and inverse standard deviation are outputs of the operator; the gradient reads them.
  const outputs = x.graph.emit(
    'LayerNormalization',
    [x, scale, bias],
    [{ dtype: x.dtype, shape: x.shape }, statistics, statistics],
    { axis: -1, epsilon: { float: epsilon } },
  );
  return outputs[0] as Value;
}

/** What batch normalisation computes. */
export interface BatchNormOutputs {
  /** The shape of x. */
  readonly y: Value;
  /** Mean over the batch [C]. */
  readonly mean: Value;
  /** Biased variance over the batch [C]. */
  readonly variance: Value;
}

function checkChannels(x: Value, ...vectors: readonly Value[]): number {
  const channels = x.shape[1];
  if (typeof channels !== 'number' || !vectors.every(({ shape }) => sameShape(shape, [channels]))) {
    const shapes = vectors.map(({ shape }) => formatShape(shape)).join(', ');
    throw new GraphError(`BatchNormalization: input ${formatShape(x.shape)} does not fit vectors ${shapes}`);
  }
  return channels;
}

/**
 * Batch normalisation by the batch's own statistics (Ioffe and Szegedy, arXiv 1502.03167): x [N, C, M] with at least two
 * elements a channel, scale [C], bias [C]. The operator blends statistics into running ones; with a momentum of 0 its
 * outputs are those of the batch.
 *
 * ONNX Runtime writes the statistics into the memory of the running statistics that it is given, even when other nodes
 * read them. So it is given values that no other node reads: the first and the last element of every channel.
 */
export function batchNorm(x: Value, scale: Value, bias: Value, epsilon: number): BatchNormOutputs {
  const channels = checkChannels(x, scale, bias);
  const [n, , cells] = staticShape(x.shape, 'BatchNormalization') as [number, number, number];
  if (x.shape.length !== 3 || n * cells < 2) {
    throw new GraphError(`BatchNormalization: ${formatShape(x.shape)} must be [N, C, M] with two elements a channel`);
  }
  const element = (image: number, cell: number) =>
    reshape(
      slice(x, [
        { axis: 0, start: image, end: image + 1 },
        { axis: 2, start: cell, end: cell + 1 },
      ]),
      [channels],
    );
  const statistics = { dtype: x.dtype, shape: [channels] };
  const outputs = x.graph.emit(
    'BatchNormalization',
    [x, scale, bias, element(0, 0), element(n - 1, cells - 1)],
    [{ dtype: x.dtype, shape: x.shape }, statistics, statistics],
    { training_mode: 1, momentum: { float: 0 }, epsilon: { float: epsilon } },
  );
  const [y, mean, variance] = outputs as [Value, Value, Value];
  return { y, mean, variance };
}

/** scale_c x + shift_c for every channel c, in one pass: x [N, C, ...], scale [C], shift [C]. No gradient. */
export function channelAffine(x: Value, scale: Value, shift: Value): Value {
  const channels = checkChannels(x, scale, shift);
  const { graph } = x;
  const constant = (name: string, value: number) =>
    graph.shared(`${name}:${channels}`, () => tensor('float32', [channels], new Float32Array(channels).fill(value)));
  return emitOne(
    'BatchNormalization',
    [x, scale, shift, constant('zeros', 0), constant('ones', 1)],
    { dtype: x.dtype, shape: x.shape },
    { epsilon: { float: 0 } },
  );
}
