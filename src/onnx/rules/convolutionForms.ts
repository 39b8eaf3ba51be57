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
  /** Most cells of a map for which a depthwise 7 x 7 convolution is a product per channel (src/nn/depthwiseProduct.ts). */
  readonly depthwiseProductCells: number;
}

export const convolutionForms: Readonly<Record<Provider, ConvolutionForms>> = {
  cpu: { channelMajor: true, patchCells: 14 * 14, depthwiseProductCells: 20 * 20 },
  // Not measured, for want of a card: cuDNN has a kernel for each of these convolutions.
  cuda: { channelMajor: false, patchCells: 0, depthwiseProductCells: 0 },
};

/** The form for an output map of so many cells. */
export function convolutionForm(provider: Provider, cells: number): ConvolutionForm {
  return cells <= convolutionForms[provider].patchCells ? 'patches' : 'conv';
}
