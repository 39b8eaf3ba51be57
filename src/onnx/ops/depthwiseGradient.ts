import { tensor } from '../../tensor/tensor.js';
import type { DepthwiseGradientForm } from '../convolutionForms.js';
import type { Value } from '../graph.js';
import { staticShape } from '../shapes.js';
import { conv } from './convolution.js';
import { gemm, matmul } from './linear.js';
import { reduceSum } from './reduce.js';
import { concat, matrixTranspose, pad, reshape, slice, transpose } from './shape.js';

/** Gradients to the weights of depthwise convolutions of stride 1 whose output is as large as their input. */

type Four = readonly [number, number, number, number];

export interface DepthwiseKernel {
  /** Side of the kernel, odd. */
  readonly size: number;
  readonly dilation: number;
}

/**
 * One convolution with N x C groups: each plane of the map is the input of a group, and its gradient is the kernel. Then
 * the sum over images. No copies are made.
 */
function byPlanes(x: Value, gy: Value, { size, dilation }: DepthwiseKernel): Value {
  const [n, c, h, w] = x.shape as Four;
  const planes = reshape(x, [1, n * c, h, w]);
  const kernels = reshape(gy, [n * c, 1, h, w]);
  const padding = (dilation * (size - 1)) / 2;
  const correlated = conv(planes, kernels, undefined, { padding, groups: n * c });
  const reach = 2 * padding + 1;
  const every = [2, 3].map((axis) => ({ axis, start: 0, end: reach, step: dilation }));
  const taps = slice(correlated, every);
  return reshape(reduceSum(reshape(taps, [n, c, size * size]), [0]), [c, 1, size, size]);
}

/** 1 where column q of the input lies under tap j of output column p: [p * q, j]. */
function columnSelection(x: Value, width: number, { size, dilation }: DepthwiseKernel): Value {
  return x.graph.shared(`depthwiseColumns:${width}:${size}:${dilation}`, () => {
    const data = new Float32Array(width * width * size);
    for (let p = 0; p < width; p++) {
      for (let j = 0; j < size; j++) {
        const q = p + dilation * (j - (size - 1) / 2);
        if (q >= 0 && q < width) data[(p * width + q) * size + j] = 1;
      }
    }
    return tensor('float32', [width * width, size], data);
  });
}

/**
 * For each row of the kernel one product per channel, of all rows of the gradient with the rows of the map under them.
 * The result is a matrix of correlations between columns, in which a tap is the sum of a diagonal. It takes W / size times
 * as many multiplications as the convolution, but as plain matrix products, and the map is copied once for each row of the
 * kernel instead of once for each tap.
 */
function byRows(x: Value, gy: Value, kernel: DepthwiseKernel): Value {
  const { size, dilation } = kernel;
  const [n, c, h, w] = x.shape as Four;
  const reach = (dilation * (size - 1)) / 2;
  const channelMajor = (value: Value) => transpose(value, [1, 0, 2, 3]);
  const padded = pad(channelMajor(x), [0, 0, reach, 0], [0, 0, reach, 0]);
  const gradient = matrixTranspose(reshape(channelMajor(gy), [c, n * h, w]));
  const products = Array.from({ length: size }, (_, i) => {
    const rows = slice(padded, [{ axis: 2, start: i * dilation, end: i * dilation + h }]);
    return reshape(matmul(gradient, reshape(rows, [c, n * h, w])), [c, w * w]);
  });
  const taps = gemm(concat(products, 0), columnSelection(x, w, kernel));
  return reshape(transpose(reshape(taps, [size, c, size]), [1, 0, 2]), [c, 1, size, size]);
}

/** x and gy [N, C, H, W] -> [C, 1, size, size]. */
export function depthwiseWeightGradient(
  x: Value,
  gy: Value,
  kernel: DepthwiseKernel,
  form: DepthwiseGradientForm,
): Value {
  staticShape(x.shape, 'Conv');
  return form === 'planes' ? byPlanes(x, gy, kernel) : byRows(x, gy, kernel);
}
