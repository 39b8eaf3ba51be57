/**
 * Conversions of IEEE 754 binary16: round to nearest, ties to even. Own code, because Node 20 has no Float16Array.
 */

const floatView = new Float32Array(1);
const bitsView = new Uint32Array(floatView.buffer);

/** Converts a number to the nearest 16-bit pattern; overflow gives infinity, NaN remains NaN. */
function toHalf(value: number): number {
  floatView[0] = value;
  const bits = bitsView[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa === 0 ? 0 : 0x200);
  const unbiased = exponent - 112; // 127 - 15
  if (unbiased >= 31) return sign | 0x7c00;
  if (unbiased <= 0) {
    if (unbiased < -10) return sign;
    // Subnormal: shift the mantissa including its hidden bit, and round by the bits shifted out.
    const shift = 14 - unbiased;
    const full = mantissa | 0x800000;
    const half = full >>> shift;
    const rest = full & ((1 << shift) - 1);
    const middle = 1 << (shift - 1);
    return sign | (rest > middle || (rest === middle && (half & 1) === 1) ? half + 1 : half);
  }
  const half = (unbiased << 10) | (mantissa >>> 13);
  const rest = mantissa & 0x1fff;
  // A carry out of the mantissa correctly increments the exponent (up to infinity).
  return sign | (rest > 0x1000 || (rest === 0x1000 && (half & 1) === 1) ? half + 1 : half);
}

/** Converts a 16-bit pattern to a number. */
function fromHalf(half: number): number {
  const sign = (half & 0x8000) === 0 ? 1 : -1;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

let halfToFloat: Float32Array | undefined;

/**
 * Converts float32 elements to float16 bit patterns.
 * @param halves receives the result; has the same length
 */
export function float32ToFloat16(
  values: Float32Array,
  halves: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  for (let i = 0; i < values.length; i++) halves[i] = toHalf(values[i] as number);
  return halves;
}

/** The largest finite float16. */
export const LARGEST_FLOAT16 = 65_504;

/**
 * Index of the first element that is finite in float32 and became infinite in float16; -1 if there is none.
 * @param halves of `float32ToFloat16(values)`
 */
export function firstOverflow(values: Float32Array, halves: Uint16Array): number {
  for (let i = 0; i < halves.length; i++) {
    if (((halves[i] as number) & 0x7fff) === 0x7c00 && Number.isFinite(values[i])) return i;
  }
  return -1;
}

/**
 * Converts float32 elements to float16 bit patterns, where none may become an infinity.
 * @param fail the error for an element that float16 cannot hold
 * @param halves receives the result; has the same length
 * @throws what `fail` returns
 */
export function float16Within(
  values: Float32Array,
  fail: (index: number, value: number) => Error,
  halves: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  const bad = firstOverflow(values, float32ToFloat16(values, halves));
  if (bad >= 0) throw fail(bad, values[bad]!);
  return halves;
}

/**
 * Converts float16 bit patterns to float32 elements.
 * @param values receives the result; has the same length
 */
export function float16ToFloat32(
  halves: Uint16Array,
  values: Float32Array = new Float32Array(halves.length),
): Float32Array {
  halfToFloat ??= Float32Array.from({ length: 65536 }, (_, half) => fromHalf(half));
  for (let i = 0; i < halves.length; i++) values[i] = halfToFloat[halves[i] as number] as number;
  return values;
}
