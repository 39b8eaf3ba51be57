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

/** Larger squares would come near the largest float32. */
const LARGEST_SQUARE = 2 ** 100;

/** Offsets into the data of up to SAMPLES vectors of both sets. */
function* samples({ a, b, channels }: VectorPair): Generator<{ data: Float32Array; at: number }> {
  for (const data of [a, b]) {
    const count = data.length / channels;
    const step = Math.max(1, Math.floor(count / SAMPLES));
    for (let i = 0; i < count; i += step) yield { data, at: i * channels };
  }
}

/** The power of two nearest to a positive number. */
function powerOfTwo(value: number): number {
  return 2 ** Math.max(-500, Math.min(500, Math.round(Math.log2(value))));
}

/**
 * The common normalisation of two sets of vectors. Without it, a large common part (as in the maps of a ReLU network) would
 * use up the digits of float32. The centre is a multiple of a power of two near the spread of the vectors: small whole numbers
 * (and other vectors of few digits) stay exact, and so do their ties.
 * @param largestNorm largest squared norm of all vectors
 */
export function commonNormalisation(pair: VectorPair, largestNorm: number): Normalisation {
  const { channels } = pair;
  const mean = new Float64Array(channels);
  let count = 0;
  for (const { data, at } of samples(pair)) {
    for (let k = 0; k < channels; k++) mean[k]! += data[at + k]!;
    count++;
  }
  for (let k = 0; k < channels; k++) mean[k]! /= count;
  let squares = 0;
  for (const { data, at } of samples(pair)) {
    for (let k = 0; k < channels; k++) squares += (data[at + k]! - mean[k]!) ** 2;
  }
  const spread = Math.sqrt(squares / (count * channels));
  const size = spread > 0 ? spread : Math.sqrt(largestNorm);
  if (size === 0) return { centre: mean, scale: 1 };
  const grid = powerOfTwo(size);
  for (let k = 0; k < channels; k++) mean[k] = Math.round(mean[k]! / grid) * grid;
  // A vector far larger than the others must not overflow. The others may then underflow to 0.
  const scale = largestNorm / grid ** 2 < LARGEST_SQUARE ? 1 / grid : 1 / powerOfTwo(Math.sqrt(largestNorm));
  return { centre: mean, scale };
}
