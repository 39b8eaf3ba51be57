import type { VectorPair } from '../nearest.js';

/** A shift and a scale after which float32 compares vectors well: centred, at a size of about 1. It only scales distances. */
export interface Normalisation {
  /** [channels] subtracted from every vector. */
  readonly centre: Float64Array;
  /** A power of two by which every vector is multiplied after the centre is subtracted. */
  readonly scale: number;
}

/** Vectors of each set from which the centre is computed: it need not be the exact mean. */
const SAMPLES = 64;

/**
 * A sample is far off if its squared distance from the mean is so many times the median. Up to a fifth of the samples can be, on one
 * side and at any distance: they move the mean by a fifth of theirs.
 */
const FAR_SQUARED = 16;

/** Up to SAMPLES vectors of both sets. */
function samplesOf({ a, b, channels }: VectorPair): Float32Array[] {
  return [a, b].flatMap((data) => {
    const count = data.length / channels;
    const step = Math.max(1, Math.floor(count / SAMPLES));
    return Array.from({ length: Math.ceil(count / step) }, (_, i) =>
      data.subarray(i * step * channels, (i * step + 1) * channels),
    );
  });
}

/** The power of two nearest to a positive number. */
function powerOfTwo(value: number): number {
  return 2 ** Math.max(-500, Math.min(500, Math.round(Math.log2(value))));
}

/** Sorts the values. */
const median = (values: Float64Array): number => values.sort()[values.length >> 1] ?? 0;

const meanOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function meanVector(samples: readonly Float32Array[], channels: number): Float64Array {
  const mean = new Float64Array(channels);
  for (const sample of samples) for (let k = 0; k < channels; k++) mean[k]! += sample[k]!;
  for (let k = 0; k < channels; k++) mean[k]! /= samples.length;
  return mean;
}

/** The median of every channel: it takes some ms, but no number of far samples below a half moves it out of the others. */
function medianVector(samples: readonly Float32Array[], channels: number): Float64Array {
  const values = new Float64Array(samples.length);
  return Float64Array.from({ length: channels }, (_, k) => {
    for (let i = 0; i < samples.length; i++) values[i] = samples[i]![k]!;
    return median(values);
  });
}

/** Squared distances of the samples from a centre. */
function squaredFrom(centre: Float64Array, samples: readonly Float32Array[]): Float64Array {
  return Float64Array.from(samples, (sample) => {
    let sum = 0;
    for (let k = 0; k < centre.length; k++) sum += (sample[k]! - centre[k]!) ** 2;
    return sum;
  });
}

/** A centre of the samples, and a typical squared distance from it; 0 if they are all equal. */
function centreOf(samples: readonly Float32Array[], channels: number): { centre: Float64Array; squared: number } {
  const mean = meanVector(samples, channels);
  const squared = squaredFrom(mean, samples);
  const all = meanOf(squared);
  const middle = median(squared);
  // Sorted.
  if (squared.at(-1)! <= FAR_SQUARED * middle) return { centre: mean, squared: all };
  const centre = medianVector(samples, channels);
  return { centre, squared: median(squaredFrom(centre, samples).filter((value) => value > 0)) };
}

/**
 * The common normalisation of two sets of vectors. Without it, a large common part (as in the maps of a ReLU network) would
 * use up the digits of float32. A few vectors far from the others have no part in it. The centre is a multiple of a power of two near the
 * spread of the vectors: small whole numbers (and other vectors of few digits) stay exact, and so do their ties.
 * @param largestNorm largest squared norm of all vectors
 */
export function commonNormalisation(pair: VectorPair, largestNorm: number): Normalisation {
  const { channels } = pair;
  const { centre, squared } = centreOf(samplesOf(pair), channels);
  const length = Math.sqrt(centre.reduce((sum, value) => sum + value ** 2, 0));
  const size = Math.sqrt(squared / channels) || length || Math.sqrt(largestNorm);
  if (size === 0) return { centre, scale: 1 };
  const grid = powerOfTwo(size);
  for (let k = 0; k < channels; k++) centre[k] = Math.round(centre[k]! / grid) * grid;
  return { centre, scale: 1 / grid };
}
