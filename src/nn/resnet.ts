import type { Value } from '../onnx/graph.js';
import { conv } from '../onnx/ops/convolution.js';
import { add, relu } from '../onnx/ops/elementwise.js';
import { maxPool } from '../onnx/ops/pool.js';
import { transpose } from '../onnx/ops/shape.js';
import { batchNormLayer } from './batchNorm.js';
import { ONES, ZEROS } from './layers.js';
import type { Parameters } from './parameters.js';

/**
 * ResNet (He et al., arXiv 1512.03385) with the stride of a bottleneck in its 3x3 convolution, as torchvision and the
 * authors have it. Parameter names are those of the authors' checkpoints.
 */

export interface ResNetConfig {
  readonly block: 'basic' | 'bottleneck';
  /** Blocks of each stage. */
  readonly layers: readonly number[];
  /** Channels of the stem; stage s has width * 2^s, times 4 after a bottleneck. */
  readonly width: number;
  /** Input pixels from one cell to the next: 32, or 16 and 8 by dilation of the last stages. */
  readonly outputStride?: 8 | 16 | 32;
  /** Whether the last normalisation of each block starts at zero, so that blocks start as identities. Default true. */
  readonly zeroInit?: boolean;
}

export const resNetConfigs: Readonly<Record<string, ResNetConfig>> = {
  resnet18: { block: 'basic', layers: [2, 2, 2, 2], width: 64 },
  resnet34: { block: 'basic', layers: [3, 4, 6, 3], width: 64 },
  resnet50: { block: 'bottleneck', layers: [3, 4, 6, 3], width: 64 },
  resnet101: { block: 'bottleneck', layers: [3, 4, 23, 3], width: 64 },
  resnet50x2: { block: 'bottleneck', layers: [3, 4, 6, 3], width: 128 },
};

const EXPANSION = { basic: 1, bottleneck: 4 } as const;

/** Channels of the last map. */
export function resNetChannels({ block, layers, width }: ResNetConfig): number {
  return width * 2 ** (layers.length - 1) * EXPANSION[block];
}

interface ConvolutionShape {
  readonly outputs: number;
  readonly size: number;
  readonly stride?: number;
  readonly dilation?: number;
}

/** Convolution without bias, padded to keep the size at stride 1; Kaiming normal over the fan out. */
function convolution(x: Value, parameters: Parameters, name: string, shape: ConvolutionShape): Value {
  const { outputs, size, stride = 1, dilation = 1 } = shape;
  const inputs = x.shape[1] as number;
  const weight = parameters.get(`${name}.weight`, [outputs, inputs, size, size], {
    kind: 'normal',
    std: Math.sqrt(2 / (outputs * size * size)),
  });
  return conv(x, weight, undefined, { stride, dilation, padding: (dilation * (size - 1)) / 2 });
}

interface BlockShape {
  readonly width: number;
  readonly stride: number;
  readonly dilation: number;
}

function residualBlock(x: Value, config: ResNetConfig, parameters: Parameters, name: string, shape: BlockShape): Value {
  const { width, stride, dilation } = shape;
  const outputs = width * EXPANSION[config.block];
  const lastInit = (config.zeroInit ?? true) ? ZEROS : ONES;
  const norm = (y: Value, layer: string, init = ONES) => batchNormLayer(y, parameters, `${name}.${layer}`, 1, init);
  const convolve = (y: Value, layer: string, convolutionShape: ConvolutionShape) =>
    convolution(y, parameters, `${name}.${layer}`, convolutionShape);
  let y: Value;
  if (config.block === 'basic') {
    y = relu(norm(convolve(x, 'conv1', { outputs: width, size: 3, stride, dilation }), 'bn1'));
    y = norm(convolve(y, 'conv2', { outputs, size: 3, dilation }), 'bn2', lastInit);
  } else {
    y = relu(norm(convolve(x, 'conv1', { outputs: width, size: 1 }), 'bn1'));
    y = relu(norm(convolve(y, 'conv2', { outputs: width, size: 3, stride, dilation }), 'bn2'));
    y = norm(convolve(y, 'conv3', { outputs, size: 1 }), 'bn3', lastInit);
  }
  const matches = stride === 1 && x.shape[1] === outputs;
  const shortcut = matches ? x : norm(convolve(x, 'downsample.0', { outputs, size: 1, stride }), 'downsample.1');
  return relu(add(y, shortcut));
}

/**
 * Strides and dilations of the blocks. Where the output stride is smaller, the last stages dilate in place of striding:
 * the first block of such a stage keeps the dilation of the stage before, the others have the doubled one
 * (torchvision's replace_stride_with_dilation).
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

/**
 * Emits the backbone.
 * @param pixels normalised RGB [B, H, W, 3].
 * @returns the last map [B, h, w, C], not normalised.
 */
export function resNet(
  pixels: Value,
  config: ResNetConfig,
  parameters: Parameters,
  { prefix = '' }: { readonly prefix?: string } = {},
): Value {
  const { graph } = pixels;
  let x = graph.scope(`${prefix}stem`, () => {
    const y = convolution(transpose(pixels, [0, 3, 1, 2]), parameters, `${prefix}conv1`, {
      outputs: config.width,
      size: 7,
      stride: 2,
    });
    return maxPool(relu(batchNormLayer(y, parameters, `${prefix}bn1`, 1)), { size: 3, stride: 2, padding: 1 });
  });
  stagePlan(config).forEach(({ stride, first, rest }, stage) => {
    const width = config.width * 2 ** stage;
    for (let index = 0; index < config.layers[stage]!; index++) {
      const name = `${prefix}layer${stage + 1}.${index}`;
      const shape = { width, stride: index === 0 ? stride : 1, dilation: index === 0 ? first : rest };
      x = graph.scope(name, () => residualBlock(x, config, parameters, name, shape));
    }
  });
  return transpose(x, [0, 2, 3, 1]);
}
