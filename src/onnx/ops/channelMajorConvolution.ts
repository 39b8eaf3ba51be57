import type { Value } from '../graph.js';
import { convolutionForm } from '../rules/convolutionForms.js';
import { formatShape, GraphError, staticShape } from '../shapes.js';
import { type ConvOptions, conv, convolvedSize, convTranspose } from './convolution.js';
import { differentiateBy } from './elementwise.js';
import { gemm } from './linear.js';
import { patches, type Windows } from './patches.js';
import { reshape, slice, transpose } from './shape.js';

/**
 * Convolutions of maps that stand channel by channel, [C, N, H, W]. A 1 x 1 convolution and both its gradients are one
 * Gemm each over all cells of all images, without moving anything; larger kernels take the form that
 * rules/convolutionForms.ts has for their map, with gradients of their own.
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

/** Kernel turned by 180 degrees, inputs and outputs swapped: the convolution with it undoes strides of 1. */
function turned(weight: Value): Value {
  const [, , rows, columns] = weight.shape as Four;
  const ranges = [
    { axis: 2, start: rows - 1, end: -1, step: -1 },
    { axis: 3, start: columns - 1, end: -1, step: -1 },
  ];
  return transpose(slice(weight, ranges), [1, 0, 2, 3]);
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

/** x [C, N, H, W], weight [O, C, k, k] -> [O, N, H', W']; static shapes, no groups. */
export function channelMajorConv(x: Value, weight: Value, options: Omit<ConvOptions, 'groups'> = {}): Value {
  const { stride = 1, padding = 0, dilation = 1 } = options;
  const [channels, images, height, width] = staticShape(x.shape, 'Conv') as Four;
  const [outputs, inputs, size] = weight.shape as Four;
  if (x.shape.length !== 4 || channels !== inputs || weight.shape[3] !== size) {
    throw new GraphError(
      `Conv: input ${formatShape(x.shape)} (channels first) does not fit weight ${formatShape(weight.shape)}`,
    );
  }
  if (size === 1 && padding === 0) return pointwise(x, weight, stride);

  const { provider } = x.graph;
  const rows = convolvedSize(height, size, stride, padding, dilation) as number;
  const columns = convolvedSize(width, size, stride, padding, dilation) as number;
  const cells = images * rows * columns;
  const windows: Windows = { size, stride, dilation, padding, rows, columns };
  const form = convolutionForm(provider, rows * columns);
  const y =
    form === 'patches'
      ? reshape(gemm(kernelRows(weight), patches(channelsLast(x), windows), { transB: true }), [
          outputs,
          images,
          rows,
          columns,
        ])
      : swapped(conv(swapped(x), weight, undefined, { stride, padding, dilation }));

  const inputGradient = (gy: Value): Value => {
    if (stride > 1) {
      return swapped(convTranspose(swapped(gy), weight, [height, width], { stride, padding, dilation }));
    }
    const around = dilation * (size - 1) - padding;
    if (convolutionForm(provider, height * width) === 'conv') {
      return swapped(conv(swapped(gy), turned(weight), undefined, { padding: around, dilation }));
    }
    const back: Windows = { ...windows, padding: around, rows: height, columns: width };
    const product = gemm(kernelRows(turned(weight)), patches(channelsLast(gy), back), { transB: true });
    return reshape(product, [channels, images, height, width]);
  };
  const weightGradient = (gy: Value): Value => {
    const product = gemm(reshape(gy, [outputs, cells]), patches(channelsLast(x), windows));
    return transpose(reshape(product, [outputs, size, size, channels]), [0, 3, 1, 2]);
  };
  return differentiateBy(differentiateBy(y, x, inputGradient), weight, weightGradient);
}
