import { type Tensor, tensor } from '../tensor/tensor.js';
import { largestEigenPairs } from './krylov.js';

/** A linear map to fewer dimensions: y = components * (x - mean). */
export interface Basis {
  /** [C]. */
  readonly mean: Tensor<'float32'>;
  /** [k, C], orthonormal rows. */
  readonly components: Tensor<'float32'>;
}

export interface Principal {
  readonly basis: Basis;
  /** Variance along each component, largest first (n - 1 in the denominator), [k]. */
  readonly variances: readonly number[];
  /** Variance of all dimensions together. */
  readonly totalVariance: number;
}

function meanOf(data: Float32Array, channels: number): Float64Array {
  const mean = new Float64Array(channels);
  for (let start = 0; start < data.length; start += channels) {
    for (let k = 0; k < channels; k++) mean[k]! += data[start + k]!;
  }
  const vectors = data.length / channels;
  for (let k = 0; k < channels; k++) mean[k]! /= vectors;
  return mean;
}

/** The covariance as a linear map. The matrix is not formed: its C^2 numbers would cost more than all the products. */
function covarianceMap(data: Float32Array, mean: Float64Array) {
  const channels = mean.length;
  const share = 1 / (data.length / channels - 1);
  const centred = new Float64Array(channels);
  return (vectors: readonly Float64Array[]): Float64Array[] => {
    const images = vectors.map(() => new Float64Array(channels));
    for (let start = 0; start < data.length; start += channels) {
      for (let k = 0; k < channels; k++) centred[k] = data[start + k]! - mean[k]!;
      for (const [j, vector] of vectors.entries()) {
        let along = 0;
        for (let k = 0; k < channels; k++) along += centred[k]! * vector[k]!;
        along *= share;
        const image = images[j]!;
        for (let k = 0; k < channels; k++) image[k]! += along * centred[k]!;
      }
    }
    return images;
  };
}

/** Fixes the sign of a component, which is arbitrary: its element of largest magnitude becomes positive. */
function signFixed(vector: Float64Array): Float64Array {
  let largest = 0;
  for (const value of vector) if (Math.abs(value) > Math.abs(largest)) largest = value;
  return largest < 0 ? vector.map((value) => -value) : vector;
}

/**
 * Principal components of vectors [N, C], N at least 2; computed in float64, exact to the rounding of float32.
 * @param components k, at most C and N - 1
 */
export function principalComponents({ shape, data }: Tensor<'float32'>, components: number): Principal {
  const channels = shape.at(-1)!;
  const mean = meanOf(data, channels);
  const { values, vectors } = largestEigenPairs(covarianceMap(data, mean), channels, components);
  let squares = 0;
  for (let i = 0; i < data.length; i++) squares += (data[i]! - mean[i % channels]!) ** 2;
  const rows = new Float32Array(components * channels);
  for (const [i, vector] of vectors.entries()) rows.set(signFixed(vector), i * channels);
  return {
    basis: {
      mean: tensor('float32', [channels], Float32Array.from(mean)),
      components: tensor('float32', [components, channels], rows),
    },
    variances: values,
    totalVariance: squares / (data.length / channels - 1),
  };
}

/** Vectors [..., C] in the coordinates of a basis: [..., k]. */
export function project({ shape, data }: Tensor<'float32'>, { mean, components }: Basis): Tensor<'float32'> {
  const [count = 0, channels = 0] = components.shape;
  const vectors = data.length / channels;
  const projected = new Float32Array(vectors * count);
  for (let vector = 0; vector < vectors; vector++) {
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (let k = 0; k < channels; k++) {
        sum += (data[vector * channels + k]! - mean.data[k]!) * components.data[i * channels + k]!;
      }
      projected[vector * count + i] = sum;
    }
  }
  return tensor('float32', [...shape.slice(0, -1), count], projected);
}

/** Variances of projected vectors [..., k] (n - 1 in the denominator), and of the vectors [..., C] as a whole. */
export function variancesOf({ shape, data }: Tensor<'float32'>): readonly number[] {
  const channels = shape.at(-1)!;
  const mean = meanOf(data, channels);
  const sums = new Array<number>(channels).fill(0);
  for (let i = 0; i < data.length; i++) sums[i % channels]! += (data[i]! - mean[i % channels]!) ** 2;
  const freedom = Math.max(1, data.length / channels - 1);
  return sums.map((sum) => sum / freedom);
}
