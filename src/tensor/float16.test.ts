import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { firstOverflow, float16ToFloat32, float32ToFloat16, LARGEST_FLOAT16 } from './float16.js';
import { stream } from './random.js';

const half = (value: number): number => float32ToFloat16(Float32Array.of(value))[0]!;
const number = (bits: number): number => float16ToFloat32(Uint16Array.of(bits))[0]!;

/** All finite non-negative values by the definition of the format, in ascending order; the index is the bit pattern. */
const finite = Array.from({ length: 0x7c00 }, (_, bits) => {
  const [exponent, fraction] = [Math.floor(bits / 1024), bits % 1024];
  return exponent === 0 ? (fraction / 1024) * 2 ** -14 : (1 + fraction / 1024) * 2 ** (exponent - 15);
});

/** Finds the nearest pattern by a search over all values: ties to the even pattern; 65,520 and above becomes infinite. */
function nearest(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  let [low, high] = [0, finite.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (finite[middle]! <= size) low = middle;
    else high = middle - 1;
  }
  const above = low + 1 < finite.length ? finite[low + 1]! : 65536;
  const [down, up] = [size - finite[low]!, above - size];
  return sign | (up < down || (up === down && low % 2 === 1) ? low + 1 : low);
}

describe('float16', () => {
  it('preserves all 65,536 patterns in a round trip, where any NaN remains a NaN', () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const back = float32ToFloat16(float16ToFloat32(patterns));
    for (let bits = 0; bits < 65536; bits++) {
      const isNotANumber = (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;
      if (isNotANumber) assert.ok((back[bits]! & 0x7c00) === 0x7c00 && (back[bits]! & 0x3ff) !== 0, `NaN ${bits}`);
      else assert.equal(back[bits], bits);
    }
  });

  it('converts every finite pattern to the value defined by the format', () => {
    finite.forEach((value, bits) => {
      assert.equal(number(bits), value);
      assert.ok(Object.is(number(bits | 0x8000), -value));
    });
  });

  it('gives the patterns of IEEE 754 for known values', () => {
    assert.deepEqual(
      [1, -2, 65504, 2 ** -14, 2 ** -24, 0, -0, 1 / 3].map(half),
      [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x0000, 0x8000, 0x3555],
    );
  });

  it('rounds to the nearest value, and the midpoint between two values to the even one', () => {
    for (let bits = 0; bits + 1 < finite.length; bits++) {
      const middle = (finite[bits]! + finite[bits + 1]!) / 2; // exact in float32, which has 13 more bits
      assert.equal(half(middle), bits % 2 === 0 ? bits : bits + 1);
      assert.equal(half(-middle), 0x8000 | (bits % 2 === 0 ? bits : bits + 1));
      const step = middle * 2 ** -23;
      assert.equal(half(Math.fround(middle - step)), bits);
      assert.equal(half(Math.fround(middle + step)), bits + 1);
    }
  });

  it('overflows to infinity at 65,520 and above, and underflows to signed zero at 2^-25 and below', () => {
    assert.equal(half(65519.996), 0x7bff);
    assert.equal(half(65520), 0x7c00);
    assert.equal(half(-1e38), 0xfc00);
    assert.equal(half(Number.POSITIVE_INFINITY), 0x7c00);
    assert.equal(half(2 ** -25), 0);
    assert.equal(half(-(2 ** -25)), 0x8000);
    assert.equal(half(2 ** -25 * (1 + 2 ** -23)), 1);
    assert.equal(half(1e-45), 0);
    assert.ok(Number.isNaN(number(half(Number.NaN))));
  });

  it('tells the first finite value that became infinite from infinities and NaN', () => {
    const first = (...values: number[]): number =>
      firstOverflow(Float32Array.from(values), float32ToFloat16(Float32Array.from(values)));
    const rest = [LARGEST_FLOAT16, -65519, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    assert.equal(first(...rest), -1);
    assert.equal(first(...rest, 65520, -1e38), rest.length);
    assert.equal(first(0, -65520), 1);
    assert.equal(half(LARGEST_FLOAT16), 0x7bff);
  });

  it('agrees with a search for the nearest value on random float32 patterns', () => {
    const random = stream(5, 'float16');
    const bits = Uint32Array.from({ length: 50_000 }, () => random.integer(2 ** 32));
    // Half of the values have exponents in the range of float16.
    for (let i = 0; i < bits.length; i += 2) bits[i] = (bits[i]! & 0x807fffff) | ((100 + random.integer(45)) << 23);
    const values = new Float32Array(bits.buffer);
    const halves = float32ToFloat16(values);
    values.forEach((value, i) => {
      if (!Number.isNaN(value)) assert.equal(halves[i], nearest(value), String(value));
    });
  });
});
