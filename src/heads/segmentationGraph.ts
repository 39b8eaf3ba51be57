import { BATCH_NORM_EPSILON } from '../nn/batchNorm.js';
import { encodeModel } from '../onnx/encode.js';
import { EXPORT_OPSET, Graph, type Value } from '../onnx/graph.js';
import { add } from '../onnx/ops/elementwise.js';
import { linear } from '../onnx/ops/linear.js';
import { enlargeBilinear } from '../onnx/ops/resize.js';
import { transpose } from '../onnx/ops/shape.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { channelsOf, HEAD_NAMES, type HeadMap, type SegmentationHeadSpec } from './segmentationHead.js';

/** Name of the output of an inference graph. */
export const LOGITS_OUTPUT = 'logits';
/** Name of the output of `encodeUpsampling`. */
export const PIXELS_OUTPUT = 'pixels';

/** Names of the first map's sizes. */
const FINEST = ['rows', 'columns'] as const;

/** One linear layer that equals batch normalisation by the running statistics and the convolution after it. */
interface FoldedHead {
  /** Row-major [K, C]. */
  readonly kernel: Float64Array;
  /** [K]. */
  readonly bias: Float64Array;
}

function folded({ maps, classes }: SegmentationHeadSpec, weights: ReadonlyMap<string, Tensor>): FoldedHead {
  const channels = channelsOf(maps);
  const read = (layer: string, name: string, length: number) => {
    const data = weights.get(`${layer}.${name}`)?.data as Float32Array | undefined;
    if (data?.length === length) return data;
    throw new RangeError(`the head's "${layer}.${name}" has ${data?.length ?? 'no'} elements; it must have ${length}`);
  };
  const { norm, convolution } = HEAD_NAMES;
  const [scale, shift] = [read(norm, 'weight', channels), read(norm, 'bias', channels)];
  const [mean, variance] = [read(norm, 'running_mean', channels), read(norm, 'running_var', channels)];
  const given = read(convolution, 'weight', classes * channels);
  const bias = Float64Array.from(read(convolution, 'bias', classes));
  const kernel = new Float64Array(classes * channels);
  for (let k = 0; k < classes; k++) {
    for (let c = 0; c < channels; c++) {
      const weight = given[k * channels + c]!;
      const factor = scale[c]! / Math.sqrt(variance[c]! + BATCH_NORM_EPSILON);
      kernel[k * channels + c] = weight * factor;
      bias[k]! += weight * (shift[c]! - mean[c]! * factor);
    }
  }
  return { kernel, bias };
}

/** Emits the head for inference: logits [B, K, rows, columns] of the first map's size. */
function emitInference(graph: Graph, spec: SegmentationHeadSpec, weights: ReadonlyMap<string, Tensor>): Value {
  const { maps, classes } = spec;
  const { kernel, bias } = folded(spec, weights);
  const total = channelsOf(maps);
  const finest = maps[0]!.stride;
  let first = 0;
  const parts = maps.map(({ name, channels, stride }: HeadMap, i) => {
    const own = new Float32Array(classes * channels);
    for (let k = 0; k < classes; k++) {
      own.set(kernel.subarray(k * total + first, k * total + first + channels), k * channels);
    }
    first += channels;
    const size = stride === finest ? FINEST : FINEST.map((side) => `${side}_${name}`);
    const x = graph.input(name, 'float32', ['batch', ...size, channels]);
    const weight = graph.constant(tensor('float32', [classes, channels], own), `${name}.weight`);
    // Interpolation keeps constants, so the bias may be added before it.
    const shift = i === 0 ? graph.constant(tensor('float32', [classes], Float32Array.from(bias)), 'bias') : undefined;
    return enlargeBilinear(transpose(linear(x, weight, shift), [0, 3, 1, 2]), stride / finest, FINEST);
  });
  return parts.reduce((sum, part) => add(sum, part));
}

/**
 * The graph of a folder: maps float32 [B, h, w, C] in, `logits` [B, rows, columns, K] out, of the first map's size. The other
 * maps' sizes must be the first one's divided by the ratio of the strides.
 */
export function encodeSegmentationHead(spec: SegmentationHeadSpec, weights: ReadonlyMap<string, Tensor>): Uint8Array {
  const graph = new Graph(EXPORT_OPSET);
  const logits = transpose(emitInference(graph, spec, weights), [0, 2, 3, 1]);
  graph.output(LOGITS_OUTPUT, logits, ['batch', 'rows', 'columns', spec.classes]);
  return encodeModel(graph, { name: 'segmentation_head' });
}

/**
 * A graph that brings logits to the pixels: `logits` [B, rows, columns, K] in, `pixels` [B, K, rows * stride,
 * columns * stride] out.
 */
export function encodeUpsampling(classes: number, stride: number): Uint8Array {
  const graph = new Graph(EXPORT_OPSET);
  const logits = graph.input(LOGITS_OUTPUT, 'float32', ['batch', 'rows', 'columns', classes]);
  const pixels = enlargeBilinear(transpose(logits, [0, 3, 1, 2]), stride);
  graph.output(PIXELS_OUTPUT, pixels, ['batch', classes, 'height', 'width']);
  return encodeModel(graph, { name: 'upsampling' });
}
