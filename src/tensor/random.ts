/**
 * Seeded random streams without shared state. A stream is a pure function of a seed and labels, so the same numbers can be drawn
 * again from (seed, epoch, position): a resumed run needs no saved generator state.
 */

import { createHash } from 'node:crypto';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';

/** A sequence of random numbers; every call advances it. */
export interface RandomStream {
  /** Draws a number in [low, high). */
  uniform(low: number, high: number): number;
  /** Draws an integer in [0, n), n >= 1, without modulo bias. @throws RangeError for an invalid n. */
  integer(n: number): number;
  /** Returns true with probability p. Always advances the stream by one draw, independent of p. */
  bernoulli(p: number): boolean;
  /** Draws a standard normal number. */
  normal(): number;
  /**
   * Draws a normal number with mean 0 and standard deviation `std`, again until it is in [low, high]. The bounds are absolute,
   * not multiples of std, as in PyTorch's `trunc_normal_(std=.02)`, whose default bounds are -2 and 2.
   * @throws RangeError for std <= 0, or bounds that do not include 0.
   */
  truncatedNormal(std: number, low?: number, high?: number): number;
  /** Draws a random permutation of the integers 0..n-1 (Fisher-Yates). */
  permutation(n: number): Uint32Array;
}

/**
 * Creates the stream for a seed and labels, such as `stream(7, 'sample', epoch, index)`. Equal arguments give equal numbers in
 * all versions; different arguments give independent streams. The string '1' and the number 1 differ.
 * @throws RangeError if the seed or a numeric label is not a safe integer.
 */
export function stream(seed: number, ...labels: readonly (string | number)[]): RandomStream {
  for (const value of [seed, ...labels]) {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw new RangeError(`seed and numeric labels of a random stream must be safe integers, got ${value}`);
    }
  }
  // Hashing distributes similar seeds and labels over the 128-bit state; JSON distinguishes ['a', 'b'] from ['ab'].
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...labels]))
    .digest();
  const generator = xoroshiro128plusFromState([0, 4, 8, 12].map((offset) => digest.readInt32LE(offset)));
  let spare: number | undefined;

  const uniform = (low: number, high: number): number => low + (high - low) * uniformFloat64(generator);

  const integer = (n: number): number => {
    if (!Number.isSafeInteger(n) || n < 1) throw new RangeError(`integer(n) needs a whole n of at least 1, got ${n}`);
    return uniformInt(generator, 0, n - 1);
  };

  const normal = (): number => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    // Box-Muller; 1 - u is in (0, 1], so the logarithm is finite.
    const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(generator)));
    const angle = 2 * Math.PI * uniformFloat64(generator);
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };

  const truncatedNormal = (std: number, low = -2, high = 2): number => {
    if (!(std > 0) || !(low <= 0 && high >= 0 && low < high)) {
      throw new RangeError(`truncatedNormal needs std > 0 and bounds around 0, got std ${std} in [${low}, ${high}]`);
    }
    for (;;) {
      const value = std * normal();
      if (value >= low && value <= high) return value;
    }
  };

  const permutation = (n: number): Uint32Array => {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = integer(i + 1);
      const swapped = order[i] as number;
      order[i] = order[j] as number;
      order[j] = swapped;
    }
    return order;
  };

  return { uniform, integer, bernoulli: (p) => uniformFloat64(generator) < p, normal, truncatedNormal, permutation };
}
