import type { Pca as PcaMessage } from '../proto/generated/vicregl/v1/Pca.js';
import type { PcaResult__Output } from '../proto/generated/vicregl/v1/PcaResult.js';
import { tensorBytes } from '../tensor/tensor.js';
import { float32Of, readTensor } from './tensor.js';
import { uint32 } from './uint32.js';

/** A linear projection to fewer dimensions: y = components * (x - mean). */
export interface PcaBasis {
  /** [C]. */
  readonly mean: Float32Array;
  /** [k, C], row-major: orthonormal rows. */
  readonly components: Float32Array;
}

/** The number of principal components to compute, or the basis of an earlier result, so that images share their axes. */
export type Pca = { readonly components: number } | { readonly basis: PcaBasis };

/** The result of a PCA in addition to the vectors. */
export interface PcaResult {
  /** The computed basis; absent if the request had one. */
  readonly basis?: PcaBasis;
  /** Sample variance along each component. */
  readonly explainedVariance: readonly number[];
  /** The same as fractions of the variance of all dimensions, 0 to 1. */
  readonly explainedVarianceRatio: readonly number[];
}

function floats(data: Float32Array, shape: number[]) {
  return { dtype: 'DATA_TYPE_FLOAT32', shape, data: tensorBytes({ dtype: 'float32', shape, data }) } as const;
}

/** @throws VicreglError `INVALID_ARGUMENT` for a number of components that is not a uint32. */
export function pcaMessage(pca: Pca): PcaMessage {
  if ('components' in pca) return { components: uint32('pca.components', pca.components) };
  const { mean, components } = pca.basis;
  const count = components.length / mean.length;
  return { basis: { mean: floats(mean, [mean.length]), components: floats(components, [count, mean.length]) } };
}

export function readPca(message: PcaResult__Output): PcaResult {
  const { basis, explainedVariance, explainedVarianceRatio } = message;
  return {
    explainedVariance,
    explainedVarianceRatio,
    ...(basis && {
      basis: { mean: float32Of(readTensor(basis.mean)), components: float32Of(readTensor(basis.components)) },
    }),
  };
}
