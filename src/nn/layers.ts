import { multipliesDepthwise } from '../onnx/convolutionForms.js';
import type { Value } from '../onnx/graph.js';
import { conv } from '../onnx/ops/convolution.js';
import { add } from '../onnx/ops/elementwise.js';
import { linear } from '../onnx/ops/linear.js';
import { layerNorm } from '../onnx/ops/normalisation.js';
import { tiles } from '../onnx/ops/patches.js';
import { reshape, transpose } from '../onnx/ops/shape.js';
import { isStatic } from '../onnx/shapes.js';
import { depthwiseProduct } from './depthwiseProduct.js';
import type { Initialiser, Parameters } from './parameters.js';

/** Layers over channels-last values; each asks for its parameters under PyTorch's names. */

export const ZEROS: Initialiser = { kind: 'zeros' };
export const ONES: Initialiser = { kind: 'ones' };

/** PyTorch's default for Linear: uniform within 1/sqrt(fan in), for weight and bias. */
function linearDefault(fanIn: number): Initialiser {
  return { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) };
}

interface LinearOptions {
  readonly bias?: boolean;
  readonly weightInit?: Initialiser;
  readonly biasInit?: Initialiser;
}

/** Linear on the last axis: [..., I] -> [..., outputs]; parameters `name.weight` [outputs, I] and `name.bias`. */
export function linearLayer(
  x: Value,
  parameters: Parameters,
  name: string,
  outputs: number,
  options: LinearOptions = {},
): Value {
  const inputs = x.shape.at(-1) as number;
  const { bias = true, weightInit = linearDefault(inputs), biasInit = linearDefault(inputs) } = options;
  const weight = parameters.get(`${name}.weight`, [outputs, inputs], weightInit);
  return linear(x, weight, bias ? parameters.get(`${name}.bias`, [outputs], biasInit) : undefined);
}

/** Layer normalisation over the last axis; parameters `name.weight` and `name.bias` [C]. */
export function layerNormLayer(x: Value, parameters: Parameters, name: string, epsilon: number): Value {
  const channels = x.shape.at(-1) as number;
  return layerNorm(
    x,
    parameters.get(`${name}.weight`, [channels], ONES),
    parameters.get(`${name}.bias`, [channels], ZEROS),
    epsilon,
  );
}

interface ConvolutionInit {
  readonly weightInit: Initialiser;
  readonly biasInit: Initialiser;
}

/**
 * Convolution of patches that do not overlap (kernel = stride = size), channels last: [B, H, W, I] ->
 * [B, floor(H/size), floor(W/size), outputs]; parameters `name.weight` [outputs, I, size, size] and `name.bias`.
 * Static shapes: each patch becomes a row of one Gemm, whose gradients are Gemms. Dynamic shapes: a convolution.
 */
export function patchLayer(
  x: Value,
  parameters: Parameters,
  name: string,
  { outputs, size, weightInit, biasInit }: ConvolutionInit & { readonly outputs: number; readonly size: number },
): Value {
  const inputs = x.shape[3] as number;
  const weight = parameters.get(`${name}.weight`, [outputs, inputs, size, size], weightInit);
  const bias = parameters.get(`${name}.bias`, [outputs], biasInit);
  if (!isStatic(x.shape)) {
    const y = conv(transpose(x, [0, 3, 1, 2]), weight, bias, { stride: size });
    return transpose(y, [0, 2, 3, 1]);
  }
  const patches = tiles(x, size);
  const kernel = reshape(transpose(weight, [0, 2, 3, 1]), [outputs, size * size * inputs]);
  return linear(patches, kernel, bias);
}

/**
 * Depthwise convolution of odd kernel size and stride 1, padded to keep the size, channels last: [B, H, W, C] ->
 * [B, H, W, C]; parameters `name.weight` [C, 1, size, size] and `name.bias`. On small static maps it is a matrix product
 * (depthwiseProduct.ts), where onnx/convolutionForms.ts says so.
 */
export function depthwiseLayer(
  x: Value,
  parameters: Parameters,
  name: string,
  { size, weightInit, biasInit }: ConvolutionInit & { readonly size: number },
): Value {
  const channels = x.shape[3] as number;
  const weight = parameters.get(`${name}.weight`, [channels, 1, size, size], weightInit);
  const bias = parameters.get(`${name}.bias`, [channels], biasInit);
  const { measuredForms } = parameters;
  if (
    measuredForms &&
    isStatic(x.shape) &&
    multipliesDepthwise(x.graph.provider, x.shape[0]!, x.shape[1]! * x.shape[2]!)
  )
    return add(depthwiseProduct(x, weight), bias);
  const y = conv(transpose(x, [0, 3, 1, 2]), weight, bias, { padding: (size - 1) / 2, groups: channels });
  return transpose(y, [0, 2, 3, 1]);
}
