import type { Value } from '../onnx/graph.js';
import { channelMajorConv } from '../onnx/ops/channelMajorConvolution.js';
import { type ConvOptions, conv, convolvedSize } from '../onnx/ops/convolution.js';
import { differentiateBy } from '../onnx/ops/differentiation.js';
import { add, relu } from '../onnx/ops/elementwise.js';
import { gemm } from '../onnx/ops/linear.js';
import { patches, tiles } from '../onnx/ops/patches.js';
import { maxPool } from '../onnx/ops/pool.js';
import { pad, reshape, transpose } from '../onnx/ops/shape.js';
import type { BackboneOptions } from './backboneFamily.js';
import { batchNormLayer } from './batchNorm.js';
import { ONES, ZEROS } from './layers.js';
import type { Parameters } from './parameters.js';

/**
 * ResNet (He et al., arXiv 1512.03385) with the stride of a bottleneck in its 3x3 convolution, as torchvision and the
 * authors have it. Parameter names are those of the authors' checkpoints.
 */

export interface ResNetConfig {
  readonly family: 'resnet';
  readonly block: 'basic' | 'bottleneck';
  /** Blocks of each stage. */
  readonly layers: readonly number[];
  /** Channels of the stem; stage s has width * 2^s, times 4 after a bottleneck. */
  readonly width: number;
  /**
   * Input pixels from one cell to the next: 32 (default), or 16 and 8 by dilation of the last stages. A network of fewer
   * than four stages stays finer than 32.
   */
  readonly outputStride?: 8 | 16 | 32;
  /** Whether the last normalisation of each block starts at zero, so that blocks start as identities. Default true. */
  readonly zeroInit?: boolean;
}

export const resNetConfigs: Readonly<Record<string, ResNetConfig>> = {
  resnet18: { family: 'resnet', block: 'basic', layers: [2, 2, 2, 2], width: 64 },
  resnet34: { family: 'resnet', block: 'basic', layers: [3, 4, 6, 3], width: 64 },
  resnet50: { family: 'resnet', block: 'bottleneck', layers: [3, 4, 6, 3], width: 64 },
  resnet101: { family: 'resnet', block: 'bottleneck', layers: [3, 4, 23, 3], width: 64 },
  resnet50x2: { family: 'resnet', block: 'bottleneck', layers: [3, 4, 6, 3], width: 128 },
};

/** Channels that a block gives for each of its inner ones. */
export const EXPANSION = { basic: 1, bottleneck: 4 } as const;

interface ConvolutionShape {
  readonly outputs: number;
  readonly size: number;
  readonly stride?: number;
  readonly dilation?: number;
}

/** Kaiming normal over the fan out. */
function kernel(parameters: Parameters, name: string, outputs: number, inputs: number, size: number): Value {
  return parameters.get(`${name}.weight`, [outputs, inputs, size, size], {
    kind: 'normal',
    std: Math.sqrt(2 / (outputs * size * size)),
  });
}

/** Memory layout of maps inside the network: [N, C, H, W], or [C, N, H, W] in training where that is faster. */
interface MapLayout {
  readonly channelAxis: 0 | 1;
  /** Permutation of the axes to [N, H, W, C]. */
  readonly toChannelsLast: readonly number[];
  convolve(x: Value, weight: Value, options: Omit<ConvOptions, 'groups'>): Value;
}

const imageMajorLayout: MapLayout = {
  channelAxis: 1,
  toChannelsLast: [0, 2, 3, 1],
  convolve: (x, weight, options) => conv(x, weight, undefined, options),
};
const channelMajorLayout: MapLayout = {
  channelAxis: 0,
  toChannelsLast: [1, 2, 3, 0],
  convolve: channelMajorConv,
};

/** Convolution without bias, padded to keep the size at stride 1. */
function convolution(
  x: Value,
  layout: MapLayout,
  parameters: Parameters,
  name: string,
  { outputs, size, stride = 1, dilation = 1 }: ConvolutionShape,
): Value {
  const weight = kernel(parameters, name, outputs, x.shape[layout.channelAxis] as number, size);
  return layout.convolve(x, weight, { stride, dilation, padding: (dilation * (size - 1)) / 2 });
}

const STEM = { size: 7, stride: 2, padding: 3 } as const;

/** The stem's 7 x 7 convolution of stride 2: pixels [N, H, W, 3] -> a map in the layout. */
function stemConvolution(pixels: Value, layout: MapLayout, parameters: Parameters, name: string, width: number): Value {
  const weight = kernel(parameters, name, width, 3, STEM.size);
  const { stride, padding } = STEM;
  if (layout === imageMajorLayout) return conv(transpose(pixels, [0, 3, 1, 2]), weight, undefined, { stride, padding });
  return blockConvolution(pixels, weight);
}

/**
 * The stem as a 4 x 4 convolution of stride 1 over blocks of 2 x 2 pixels, with the kernel zero-padded to 8 x 8: patches
 * are gathered 12 numbers at a time instead of 3, and the product is one Gemm. [N, H, W, 3] -> [O, N, H', W'].
 */
function blockConvolution(pixels: Value, weight: Value): Value {
  const [images, height, width, colours] = pixels.shape as readonly [number, number, number, number];
  const [outputs, , size] = weight.shape as readonly [number, number, number, number];
  const { stride, padding } = STEM;
  const window = (size + 1) / stride;
  const cells = (pixelCount: number) => convolvedSize(pixelCount, size, stride, padding, 1) as number;
  const [rows, columns] = [cells(height), cells(width)];
  const blocks = (count: number) => count + window - 1;
  const after = (pixelCount: number, count: number) => blocks(count) * stride - pixelCount - padding;
  const padded = pad(pixels, [0, padding, padding, 0], [0, after(height, rows), after(width, columns), 0]);
  const inBlocks = tiles(padded, stride);
  const windows = { size: window, stride: 1, dilation: 1, padding: 0, rows, columns };
  const filled = reshape(pad(weight, [0, 0, 0, 0], [0, 0, 1, 1]), [outputs, colours, window, stride, window, stride]);
  const kernelRows = reshape(transpose(filled, [0, 2, 4, 3, 5, 1]), [outputs, -1]);
  // Patches hold every pixel four times. The gradient gathers them again, so that they are not kept. Pixels get no gradient.
  const columnsOf = () => patches(inBlocks, windows);
  const product = gemm(kernelRows, columnsOf(), { transB: true });
  const y = differentiateBy(product, kernelRows, (gy) => gemm(gy, columnsOf()));
  return reshape(y, [outputs, images, rows, columns]);
}

interface BlockShape {
  readonly width: number;
  readonly stride: number;
  readonly dilation: number;
}

function residualBlock(
  x: Value,
  layout: MapLayout,
  config: ResNetConfig,
  parameters: Parameters,
  name: string,
  shape: BlockShape,
): Value {
  const { channelAxis } = layout;
  const { width, stride, dilation } = shape;
  const outputs = width * EXPANSION[config.block];
  const lastInit = (config.zeroInit ?? true) ? ZEROS : ONES;
  const norm = (y: Value, layer: string, init = ONES) =>
    batchNormLayer(y, parameters, `${name}.${layer}`, channelAxis, init);
  const convolve = (y: Value, layer: string, convolutionShape: ConvolutionShape) =>
    convolution(y, layout, parameters, `${name}.${layer}`, convolutionShape);
  let y: Value;
  if (config.block === 'basic') {
    y = relu(norm(convolve(x, 'conv1', { outputs: width, size: 3, stride, dilation }), 'bn1'));
    y = norm(convolve(y, 'conv2', { outputs, size: 3, dilation }), 'bn2', lastInit);
  } else {
    y = relu(norm(convolve(x, 'conv1', { outputs: width, size: 1 }), 'bn1'));
    y = relu(norm(convolve(y, 'conv2', { outputs: width, size: 3, stride, dilation }), 'bn2'));
    y = norm(convolve(y, 'conv3', { outputs, size: 1 }), 'bn3', lastInit);
  }
  const matches = stride === 1 && x.shape[channelAxis] === outputs;
  const shortcut = matches ? x : norm(convolve(x, 'downsample.0', { outputs, size: 1, stride }), 'downsample.1');
  return relu(add(y, shortcut));
}

/**
 * Strides and dilations of each stage's blocks. At a smaller output stride the last stages dilate instead of striding: the
 * first block of such a stage keeps the dilation of the stage before, the others double it (torchvision's
 * replace_stride_with_dilation).
 */
function stagePlan({ layers, outputStride = 32 }: ResNetConfig): { stride: number; first: number; rest: number }[] {
  let reached = 4;
  let dilation = 1;
  return layers.map((_, stage) => {
    if (stage === 0) return { stride: 1, first: 1, rest: 1 };
    const before = dilation;
    if (reached < outputStride) {
      reached *= 2;
      return { stride: 2, first: before, rest: dilation };
    }
    dilation *= 2;
    return { stride: 1, first: before, rest: dilation };
  });
}

/** Input pixels from one cell of each stage's map to the next. */
export function stageStrides(config: ResNetConfig): number[] {
  let reached = 4;
  return stagePlan(config).map(({ stride }) => {
    reached *= stride;
    return reached;
  });
}

/**
 * Emits the backbone.
 * @param pixels normalised RGB [B, H, W, 3].
 * @param options.channelMajor whether maps are [C, N, H, W] inside, for which all shapes must be static.
 * @returns the last map [B, ceil(H / stride), ceil(W / stride), C], not normalised.
 */
export function resNet(
  pixels: Value,
  config: ResNetConfig,
  parameters: Parameters,
  { prefix = '', onStage, channelMajor = false }: BackboneOptions = {},
): Value {
  const { graph } = pixels;
  const layout = channelMajor ? channelMajorLayout : imageMajorLayout;
  const channelsLast = (map: Value) => transpose(map, layout.toChannelsLast);
  let x = graph.scope(`${prefix}stem`, () => {
    const y = batchNormLayer(
      stemConvolution(pixels, layout, parameters, `${prefix}conv1`, config.width),
      parameters,
      `${prefix}bn1`,
      layout.channelAxis,
    );
    // Max pooling commutes with ReLU; after pooling, ReLU has a quarter of the cells.
    return relu(maxPool(y, { size: 3, stride: 2, padding: 1 }));
  });
  stagePlan(config).forEach(({ stride, first, rest }, stage) => {
    const width = config.width * 2 ** stage;
    for (let index = 0; index < config.layers[stage]!; index++) {
      const name = `${prefix}layer${stage + 1}.${index}`;
      const shape = { width, stride: index === 0 ? stride : 1, dilation: index === 0 ? first : rest };
      x = graph.scope(name, () => residualBlock(x, layout, config, parameters, name, shape));
    }
    const map = x;
    onStage?.(stage + 1, () => channelsLast(map));
  });
  return channelsLast(x);
}
