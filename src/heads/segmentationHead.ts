import { BATCH_NORM_EPSILON, updateBatchNormBuffers } from '../nn/batchNorm.js';
import { ONES, ZEROS } from '../nn/layers.js';
import type { Parameters } from '../nn/parameters.js';
import type { Value } from '../onnx/graph.js';
import { add, div, mul, sqrt, sub } from '../onnx/ops/elementwise.js';
import { gemm, linear, matmul } from '../onnx/ops/linear.js';
import { bilinearMatrix, resizeBilinear } from '../onnx/ops/resize.js';
import { concat, reshape, slice } from '../onnx/ops/shape.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { HeadStep } from './headTrainer.js';
import { pixelCrossEntropy } from './pixelCrossEntropy.js';

/**
 * The linear segmentation head on frozen maps: maps resized to the finest one and concatenated, batch normalisation,
 * dropout of channels, 1 x 1 convolution to the classes, bilinear upsampling to the pixels, cross-entropy.
 *
 * Interpolation mixes cells and the other layers mix channels, so their order does not change the result. Each map is
 * normalised by the statistics of its resized map and multiplied by its part of the kernel at its own size; what is resized
 * is the sum of a few classes instead of hundreds of channels. The resized maps are never formed.
 */

/** A frozen map that the head reads. */
export interface HeadMap {
  /** Name of the model's output, and of the graph's input. */
  readonly name: string;
  readonly channels: number;
  /** Input pixels from one cell to the next. */
  readonly stride: number;
}

export interface SegmentationHeadSpec {
  /** The finest first; the strides of the others are multiples of its stride. */
  readonly maps: readonly HeadMap[];
  readonly classes: number;
  /** Probability with which a channel of an image is set to 0 in training; 0 for none. */
  readonly dropout: number;
}

/** Names of the parameters and buffers, as in a PyTorch module with `bn` and `conv`. */
export const HEAD_NAMES = { norm: 'bn', convolution: 'conv' } as const;
const { norm, convolution } = HEAD_NAMES;

/** Name of the input of dropout masks [B, C]: 0, or 1 / (1 - dropout). */
export const DROPOUT_INPUT = 'dropout';
/** Name of the input of labels, uint8 [B, H, W]. */
export const LABELS_INPUT = 'labels';

export const channelsOf = (maps: readonly HeadMap[]): number => maps.reduce((sum, { channels }) => sum + channels, 0);

/** Mean and biased variance of a channel of maps [B, h, w, C] after they have been resized to [B, rows, columns, C]. */
function resizedStatistics(x: Value, rows: number, columns: number) {
  const [batch, height, width, channels] = x.shape as readonly [number, number, number, number];
  const cells = batch * height * width;
  const { graph } = x;
  const count = batch * rows * columns;
  const sums = (values: Value, weights: Value) =>
    reshape(gemm(weights, reshape(values, [cells, channels])), [channels]);
  const shared = (key: string, shape: readonly number[], make: () => Float64Array) =>
    graph.shared(`${key}:${shape}`, (): Tensor => tensor('float32', shape, Float32Array.from(make())));

  // Weight of a cell in the mean of the resized map: that of its row times that of its column.
  const weights = shared(`mean:${rows}x${columns}:${height}x${width}`, [1, cells], () => {
    const [down, across] = [columnTotals(height, rows), columnTotals(width, columns)];
    return Float64Array.from({ length: cells }, (_, i) => {
      const cell = i % (height * width);
      return (down[Math.floor(cell / width)]! * across[cell % width]!) / count;
    });
  });
  const mean = sums(x, weights);
  // The sum of the squares of R x is x' (R' R) x; centred first, which interpolation keeps.
  const centred = sub(x, mean);
  const across =
    width === columns
      ? centred
      : matmul(
          shared('gram', [width, width], () => gram(width, columns)),
          centred,
        );
  const both =
    height === rows
      ? across
      : reshape(
          matmul(
            shared(`gram${rows}`, [height, height], () => gram(height, rows)),
            reshape(across, [batch, height, width * channels]),
          ),
          [batch, height, width, channels],
        );
  const ones = shared('ones', [1, cells], () => new Float64Array(cells).fill(1 / count));
  return { mean, variance: sums(mul(both, centred), ones), centred, count };
}

function columnTotals(from: number, to: number): Float64Array {
  const totals = new Float64Array(from);
  bilinearMatrix(from, to).forEach((share, i) => {
    totals[i % from]! += share;
  });
  return totals;
}

/** R' R of the interpolation along one axis [from, from]. */
function gram(from: number, to: number): Float64Array {
  const matrix = bilinearMatrix(from, to);
  const product = new Float64Array(from * from);
  for (let row = 0; row < to; row++) {
    for (let i = 0; i < from; i++) {
      const share = matrix[row * from + i]!;
      if (share === 0) continue;
      for (let j = 0; j < from; j++) product[i * from + j]! += share * matrix[row * from + j]!;
    }
  }
  return product;
}

/**
 * Emits the logits of a batch in training mode, and updates the running statistics.
 * @param features maps [B, h, w, C] in the order of `maps`.
 * @param dropout masks [B, C] over all channels; undefined for none.
 * @returns [B, h, w, K] of the first map's size.
 */
function emitSegmentationLogits(
  parameters: Parameters,
  features: readonly Value[],
  classes: number,
  dropout?: Value,
): Value {
  const [batch, rows, columns] = features[0]!.shape as readonly [number, number, number];
  const channels = features.reduce((sum, { shape }) => sum + (shape[3] as number), 0);
  const scale = parameters.get(`${norm}.weight`, [channels], ONES);
  const shift = parameters.get(`${norm}.bias`, [channels], ZEROS);
  const kernel = parameters.get(`${convolution}.weight`, [classes, channels], { kind: 'normal', std: 0.01 });
  const bias = parameters.get(`${convolution}.bias`, [classes], ZEROS);

  const statistics = features.map((x) => resizedStatistics(x, rows, columns));
  const variance = concat(
    statistics.map((each) => each.variance),
    0,
  );
  const mean = concat(
    statistics.map((each) => each.mean),
    0,
  );
  updateBatchNormBuffers(parameters, norm, { mean, variance, count: statistics[0]!.count });

  // (x^ scale + shift) kernel' = x^ (kernel scale)' + shift kernel', x^ being normalised: the gradients are small products.
  const scaled = mul(kernel, scale);
  let first = 0;
  const parts = statistics.map(({ centred, variance: own }, i) => {
    const [, height, width, count] = features[i]!.shape as readonly [number, number, number, number];
    const range = (axis: number) => ({ axis, start: first, end: first + count });
    const normalised = div(centred, sqrt(add(own, BATCH_NORM_EPSILON)));
    const kept =
      dropout === undefined ? normalised : mul(normalised, reshape(slice(dropout, [range(1)]), [batch, 1, 1, count]));
    const logits = linear(kept, slice(scaled, [range(1)]));
    first += count;
    return height === rows && width === columns ? logits : resizeBilinear(logits, rows, columns);
  });
  const shifts = reshape(shift, [1, channels]);
  const constant = linear(dropout === undefined ? shifts : mul(dropout, shifts), kernel, bias);
  return parts.reduce(add, reshape(constant, [constant.shape[0] as number, 1, 1, classes]));
}

/** Size of the crops of a training step. */
export interface SegmentationStepSize {
  readonly batch: number;
  /** Side of the square crops in pixels: a multiple of every map's stride. */
  readonly crop: number;
}

/**
 * Emits a training step: inputs of the names of the maps, float32 [B, crop / stride, crop / stride, C], `labels`, and
 * `dropout` where there is some.
 */
export function emitSegmentationStep(
  parameters: Parameters,
  { maps, classes, dropout }: SegmentationHeadSpec,
  { batch, crop }: SegmentationStepSize,
): HeadStep {
  const { graph } = parameters;
  const features = maps.map(({ name, channels, stride }) => {
    return graph.input(name, 'float32', [batch, crop / stride, crop / stride, channels]);
  });
  const labels = graph.input(LABELS_INPUT, 'uint8', [batch, crop, crop]);
  const masks = dropout > 0 ? graph.input(DROPOUT_INPUT, 'float32', [batch, channelsOf(maps)]) : undefined;
  const logits = emitSegmentationLogits(parameters, features, classes, masks);
  return { loss: pixelCrossEntropy(resizeBilinear(logits, crop, crop), labels), logs: {} };
}
