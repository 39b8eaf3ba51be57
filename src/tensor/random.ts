/**
 * Seeded random streams without shared state. A stream is a pure function of a seed and labels, so whoever knows
 * (seed, epoch, position) can draw the same numbers again: a resumed run stores no generator.
 */

import { createHash } from 'node:crypto';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';

/** One sequence of random numbers; every call advances it. */
export interface RandomStream {
  /** A number in [low, high). */
  uniform(low: number, high: number): number;
  /** An integer in [0, n), n >= 1, without modulo bias. */
  integer(n: number): number;
  /** True with probability p; always advances the stream by one draw, whatever p is. */
  bernoulli(p: number): boolean;
  /** A standard normal number. */
  normal(): number;
  /**
   * A normal number of mean 0 and standard deviation `std`, redrawn until it lies in [low, high]. The bounds are
   * absolute, not multiples of std, as in PyTorch's `trunc_normal_(std=.02)`, whose default bounds are -2 and 2.
   */
  truncatedNormal(std: number, low?: number, high?: number): number;
  /** The integers 0..n-1 in random order (Fisher-Yates). */
  permutation(n: number): Uint32Array;
}

/**
 * The stream that belongs to a seed and labels, such as `stream(7, 'sample', epoch, index)`. The same arguments give
 * the same numbers for ever; different arguments give unrelated streams. The string '1' and the number 1 differ.
 * @throws RangeError when the seed or a numeric label is not a safe integer.
 */
export function stream(seed: number, ...labels: readonly (string | number)[]): RandomStream {
  for (const value of [seed, ...labels]) {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw new RangeError(`seed and numeric labels of a random stream must be safe integers, got ${value}`);
    }
  }
  // Hashing spreads neighbouring seeds and labels over the whole 128-bit state; JSON keeps ['a', 'b'] and ['ab'] apart.
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
    // Box-Muller; 1 - u lies in (0, 1], so the logarithm is finite.
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
      const held = order[i] as number;
      order[i] = order[j] as number;
      order[j] = held;
    }
    return order;
  };

  return { uniform, integer, bernoulli: (p) => uniformFloat64(generator) < p, normal, truncatedNormal, permutation };
}
