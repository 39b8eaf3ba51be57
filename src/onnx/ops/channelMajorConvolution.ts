import { type ConvolutionForm, convolutionForm } from '../convolutionForms.js';
import type { Value } from '../graph.js';
import { formatShape, GraphError, staticShape } from '../shapes.js';
import { type ConvOptions, conv, convolvedCells, convTranspose, rotated180 } from './convolution.js';
import { differentiateBy } from './differentiation.js';
import { gemm } from './linear.js';
import { patches, type Windows } from './patches.js';
import { reshape, slice, transpose } from './shape.js';

/**
 * Convolutions of channel-major maps, [C, N, H, W]. A 1 x 1 convolution and both its gradients are one Gemm each over all
 * cells of all images, without copies. Larger kernels take the form that convolutionForms.ts gives for their map, and
 * declare their own gradients.
 */

type Four = readonly [number, number, number, number];

/** [C, N, H, W] <-> [N, C, H, W]. */
const swapped = (x: Value) => transpose(x, [1, 0, 2, 3]);

/** [C, N, H, W] -> [N, H, W, C], by way of a plain matrix transposition. */
function channelsLast(x: Value): Value {
  const [channels, images, height, width] = x.shape as Four;
  const cells = transpose(reshape(x, [channels, images * height * width]), [1, 0]);
  return reshape(cells, [images, height, width, channels]);
}

/** Kernel [O, C, k, k] as rows over patches: [O, k * k * C]. */
function kernelRows(weight: Value): Value {
  const [outputs, channels, size] = weight.shape as Four;
  return reshape(transpose(weight, [0, 2, 3, 1]), [outputs, size * size * channels]);
}

function pointwise(x: Value, weight: Value, stride: number): Value {
  const [outputs, channels] = weight.shape as Four;
  const [, , height, width] = x.shape as Four;
  const kept =
    stride === 1
      ? x
      : slice(x, [
          { axis: 2, start: 0, end: height, step: stride },
          { axis: 3, start: 0, end: width, step: stride },
        ]);
  const [, images, rows, columns] = kept.shape as Four;
  const cells = reshape(kept, [channels, images * rows * columns]);
  return reshape(gemm(reshape(weight, [outputs, channels]), cells), [outputs, images, rows, columns]);
}

/** What a convolution and its gradients share. */
interface Geometry {
  readonly input: Four;
  readonly weight: Four;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  /** Cells of an output map. */
  readonly rows: number;
  readonly columns: number;
}

function geometryOf(x: Value, weight: Value, options: Omit<ConvOptions, 'groups'>): Geometry {
  const { stride = 1, padding = 0, dilation = 1 } = options;
  const input = staticShape(x.shape, 'Conv') as Four;
  const kernel = staticShape(weight.shape, 'Conv') as Four;
  const [channels, , height, width] = input;
  const [, inputs, size] = kernel;
  const [given, weights] = [`input ${formatShape(input)} (channels first)`, `weight ${formatShape(kernel)}`];
  if (input.length !== 4 || kernel.length !== 4 || channels !== inputs || kernel[3] !== size) {
    throw new GraphError(`Conv: ${given} does not fit the ${weights}`);
  }
  const windowing = { kernel: [size, size], stride, padding, dilation } as const;
  const [rows, columns] = convolvedCells([height, width], windowing, 'Conv', `${given} and ${weights}`);
  return { input, weight: kernel, stride, padding, dilation, rows, columns };
}

/** The windows that the kernel sees, one for each output cell. */
function windowsOf({ weight: [, , size], stride, padding, dilation, rows, columns }: Geometry): Windows {
  return { size, stride, dilation, padding, rows, columns };
}

function forward(form: ConvolutionForm, x: Value, weight: Value, geometry: Geometry): Value {
  const { stride, padding, dilation, rows, columns } = geometry;
  if (form === 'conv') return swapped(conv(swapped(x), weight, undefined, { stride, padding, dilation }));
  const [outputs] = geometry.weight;
  const product = gemm(kernelRows(weight), patches(channelsLast(x), windowsOf(geometry)), { transB: true });
  return reshape(product, [outputs, geometry.input[1], rows, columns]);
}

/**
 * Stride 1: the output's gradient convolved with the kernel that is rotated by 180 degrees and has its inputs and outputs
 * swapped. Otherwise ConvTranspose.
 */
function inputGradient(form: ConvolutionForm, gy: Value, weight: Value, geometry: Geometry): Value {
  const { input, stride, padding, dilation } = geometry;
  const [, , height, width] = input;
  if (stride > 1) {
    return swapped(convTranspose(swapped(gy), weight, [height, width], { stride, padding, dilation }));
  }
  const around = dilation * (geometry.weight[2] - 1) - padding;
  const kernel = swapped(rotated180(weight));
  return forward(form, gy, kernel, geometryOf(gy, kernel, { padding: around, dilation }));
}

function weightGradient(gy: Value, x: Value, geometry: Geometry): Value {
  const [outputs, channels, size] = geometry.weight;
  const cells = geometry.input[1] * geometry.rows * geometry.columns;
  const product = gemm(reshape(gy, [outputs, cells]), patches(channelsLast(x), windowsOf(geometry)));
  return transpose(reshape(product, [outputs, size, size, channels]), [0, 3, 1, 2]);
}

/**
 * x [C, N, H, W], weight [O, C, k, k] -> [O, N, H', W']; static shapes, no groups.
 * @param form to use instead of the one that was measured as fastest for the map (for the benchmark).
 */
export function channelMajorConv(
  x: Value,
  weight: Value,
  options: Omit<ConvOptions, 'groups'> = {},
  form?: ConvolutionForm,
): Value {
  const geometry = geometryOf(x, weight, options);
  const { input, padding, stride, rows, columns } = geometry;
  if (geometry.weight[2] === 1 && padding === 0) return pointwise(x, weight, stride);
  const { provider } = x.graph;
  const [back, there] = [input[2] * input[3], rows * columns].map((cells) => form ?? convolutionForm(provider, cells));
  const y = forward(there!, x, weight, geometry);
  const toInput = (gy: Value) => inputGradient(back!, gy, weight, geometry);
  const toWeight = (gy: Value) => weightGradient(gy, x, geometry);
  return differentiateBy(differentiateBy(y, x, toInput), weight, toWeight);
}
