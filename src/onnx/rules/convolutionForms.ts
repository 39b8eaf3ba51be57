import type { Provider } from '../graph.js';

/**
 * Which way to compute a convolution and its gradients, per provider. On the CPU every way ends in one matrix product;
 * they differ in how the operands are brought together:
 *
 * - `patches`: the k x k patches of all images are gathered into rows, then one Gemm over all images. The Gemm is as
 *   large as it can be, but the patches are k^2 times the map, which costs memory traffic on large maps.
 * - `conv`: ONNX Runtime's Conv (for the input's gradient over the turned kernel), which gathers in small blocks and
 *   multiplies image by image: little traffic, but small Gemms on small maps.
 *
 * Measured by scripts/bench/convolutionForms.ts (docs/benchmarks.md).
 */
export type ConvolutionForm = 'patches' | 'conv';

interface ConvolutionForms {
  /** Maps of [C, N, H, W], in which 1 x 1 convolutions are one Gemm and BatchNorm's channels are rows. */
  readonly channelMajor: boolean;
  /** Most cells of one image's output map for which `patches` is the faster form, forward and for the input. */
  readonly patchCells: number;
  /**
   * Up to which map a depthwise 7 x 7 convolution is a product per channel (src/nn/depthwiseProduct.ts), by the images of
   * the batch, which share the cost of filling its matrix: a row holds from so many images on, until the next.
   */
  readonly depthwiseProduct: readonly { readonly images: number; readonly mostCells: number }[];
}

export const convolutionForms: Readonly<Record<Provider, ConvolutionForms>> = {
  cpu: {
    channelMajor: true,
    patchCells: 14 * 14,
    // Measured by scripts/bench/depthwise.ts (docs/benchmarks.md).
    depthwiseProduct: [
      { images: 1, mostCells: 5 * 5 },
      { images: 2, mostCells: 7 * 7 },
      { images: 4, mostCells: 8 * 8 },
      { images: 8, mostCells: 10 * 10 },
      { images: 16, mostCells: 12 * 12 },
      { images: 32, mostCells: 16 * 16 },
      { images: 64, mostCells: 20 * 20 },
    ],
  },
  // Not measured, for want of a card: cuDNN has a kernel for each of these convolutions.
  cuda: { channelMajor: false, patchCells: 0, depthwiseProduct: [] },
};

/** The form for an output map of so many cells. */
export function convolutionForm(provider: Provider, cells: number): ConvolutionForm {
  return cells <= convolutionForms[provider].patchCells ? 'patches' : 'conv';
}

/** Whether a depthwise convolution over maps of so many cells is a product per channel, in a batch of so many images. */
export function multipliesDepthwise(provider: Provider, images: number, cells: number): boolean {
  const row = convolutionForms[provider].depthwiseProduct.findLast((entry) => entry.images <= images);
  return row !== undefined && cells <= row.mostCells;
}
