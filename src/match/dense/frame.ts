import type { VectorPair } from '../vectors.js';

/** Where float32 compares vectors well: around their middle, at a size of about 1. Distances are only scaled by it. */
export interface Frame {
  /** [channels] subtracted from every vector. */
  readonly centre: Float64Array;
  /** A power of two that every vector is multiplied with, after the centre is subtracted. */
  readonly scale: number;
}

/** Vectors of each set that the frame is taken from: it need not be the exact middle. */
const SAMPLES = 64;

/** Squares beyond this would come near the largest float32. */
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
 * The frame of two sets of vectors. A large common part (as in the maps of a ReLU network) would use up the digits of
 * float32. The centre is a multiple of a power of two of about the vectors' spread, so that small whole numbers (and
 * other vectors of few digits) stay exact, and with them their ties.
 * @param largestNorm largest squared norm of all vectors
 */
export function commonFrame(pair: VectorPair, largestNorm: number): Frame {
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
  // A vector far larger than the others must not overflow; beside it, these may vanish.
  const scale = largestNorm / grid ** 2 < LARGEST_SQUARE ? 1 / grid : 1 / powerOfTwo(Math.sqrt(largestNorm));
  return { centre: mean, scale };
}
