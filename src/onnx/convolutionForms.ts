import type { Provider } from './graph.js';

/**
 * How to compute a convolution and its gradients, per provider. On the CPU each form ends in a matrix product; they
 * differ in how they gather the operands:
 *
 * - `patches`: the k x k patches of all images are gathered into rows, then one Gemm over all images. The Gemm is as
 *   large as it can be, but the patches are k^2 times the map, which costs memory traffic on large maps.
 * - `conv`: ONNX Runtime's Conv (for the input's gradient over the rotated kernel), which gathers in small blocks and
 *   multiplies image by image: little traffic, but small Gemms on small maps.
 *
 * Measured by scripts/bench/convolutionForms.ts (docs/benchmarks.md).
 */
export type ConvolutionForm = 'patches' | 'conv';

/**
 * How a depthwise convolution's gradient to its weight is computed (src/onnx/ops/depthwiseGradient.ts): as one convolution
 * of N x C groups, or as products of the maps' rows.
 */
export type DepthwiseGradientForm = 'planes' | 'rows';

interface ConvolutionForms {
  /** Maps of [C, N, H, W], in which 1 x 1 convolutions are one Gemm and BatchNorm's channels are rows. */
  readonly channelMajor: boolean;
  /** Most cells of one image's output map for which `patches` is the faster form, forward and for the input. */
  readonly patchCells: number;
  /**
   * Largest map for which a depthwise 7 x 7 convolution is a product per channel (src/nn/depthwiseProduct.ts), by the
   * number of images in the batch, which share the cost of filling its matrix. A row applies from its number of images up
   * to the next row's.
   */
  readonly depthwiseProduct: readonly { readonly images: number; readonly maxCells: number }[];
  /** Most cells of a map for which a depthwise weight gradient is computed by `rows`. */
  readonly depthwiseRowCells: number;
}

export const convolutionForms: Readonly<Record<Provider, ConvolutionForms>> = {
  cpu: {
    channelMajor: true,
    patchCells: 14 * 14,
    // Measured by scripts/bench/depthwise.ts (docs/benchmarks.md).
    depthwiseProduct: [
      { images: 1, maxCells: 5 * 5 },
      { images: 2, maxCells: 7 * 7 },
      { images: 4, maxCells: 8 * 8 },
      { images: 8, maxCells: 10 * 10 },
      { images: 16, maxCells: 12 * 12 },
      { images: 32, maxCells: 16 * 16 },
      { images: 64, maxCells: 20 * 20 },
    ],
    // Measured by scripts/bench/depthwiseGradient.ts (docs/benchmarks.md).
    depthwiseRowCells: 20 * 20,
  },
  // Not measured: no GPU was available (scripts/cuda/firstCard.ts measures it). cuDNN has a kernel for each of these
  // convolutions, except for thousands of groups whose kernels are as large as their maps. Products of rows are ordinary
  // matrix products.
  cuda: { channelMajor: false, patchCells: 0, depthwiseProduct: [], depthwiseRowCells: Number.POSITIVE_INFINITY },
};

/** The form for an output map by its number of cells. */
export function convolutionForm(provider: Provider, cells: number): ConvolutionForm {
  return cells <= convolutionForms[provider].patchCells ? 'patches' : 'conv';
}

/** The form of a depthwise weight gradient by the number of cells of its maps. */
export function depthwiseGradientForm(provider: Provider, cells: number): DepthwiseGradientForm {
  return cells <= convolutionForms[provider].depthwiseRowCells ? 'rows' : 'planes';
}

/** Whether a depthwise convolution is a product per channel, by images of the batch and cells of a map. */
export function multipliesDepthwise(provider: Provider, images: number, cells: number): boolean {
  const row = convolutionForms[provider].depthwiseProduct.findLast((entry) => entry.images <= images);
  return row !== undefined && cells <= row.maxCells;
}
