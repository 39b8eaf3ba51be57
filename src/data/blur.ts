/**
 * Gaussian blur equal to Pillow's ImageFilter.GaussianBlur: three passes of an extended box filter along the rows, then three
 * along the columns (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", SSVM 2011).
 * Values are rounded to 8 bits after each pass, and edge pixels are replicated.
 */

const PASSES = 3;

/** Fractional radius of the box filter that, applied three times, has the standard deviation sigma. */
function boxRadius(sigma: number): number {
  const variance = (sigma * sigma) / PASSES;
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const excess = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  return whole + excess / (6 * (variance - (whole + 1) * (whole + 1)));
}

/** An extended box filter, with weights in 24-bit fixed point. */
interface BoxFilter {
  /** Pixels fully inside the box, on each side of the centre. */
  readonly radius: number;
  /** Weight of the pixels fully inside the box. */
  readonly inner: number;
  /** Weight of the two pixels partly inside the box. */
  readonly outer: number;
}

/**
 * Blurs interleaved 8-bit RGB in place.
 * @param sigma standard deviation in pixels, greater than 0
 */
export function gaussianBlur(pixels: Uint8Array, width: number, height: number, sigma: number): void {
  const side = Math.fround(boxRadius(sigma));
  const radius = Math.trunc(side);
  const inner = Math.trunc((1 << 24) / (side * 2 + 1));
  const box = { radius, inner, outer: Math.trunc(((1 << 24) - (radius * 2 + 1) * inner) / 2) };
  // The image is transposed so that both directions access memory sequentially.
  const transposed = new Uint8Array(pixels.length);
  blurRows(pixels, width, height, box);
  transpose(pixels, transposed, width, height);
  blurRows(transposed, height, width, box);
  transpose(transposed, pixels, height, width);
}

/** Transposes [height, width, 3] to [width, height, 3], in tiles that fit the L1 cache. */
function transpose(from: Uint8Array, to: Uint8Array, width: number, height: number): void {
  const tile = 32;
  for (let top = 0; top < height; top += tile) {
    const bottom = Math.min(top + tile, height);
    for (let left = 0; left < width; left += tile) {
      const right = Math.min(left + tile, width);
      for (let row = top; row < bottom; row++) {
        let at = (row * width + left) * 3;
        let target = (left * height + row) * 3;
        for (let column = left; column < right; column++, at += 3, target += height * 3) {
          to[target] = from[at]!;
          to[target + 1] = from[at + 1]!;
          to[target + 2] = from[at + 2]!;
        }
      }
    }
  }
}

/** Applies all passes along the rows of [height, width, 3], in place. */
function blurRows(pixels: Uint8Array, width: number, height: number, box: BoxFilter): void {
  const pad = (box.radius + 1) * 3;
  const length = width * 3;
  const end = pad + length;
  // Two buffers that swap roles after each pass: a row with its edges replicated, and the result.
  let line = new Uint8Array(length + 2 * pad);
  let next = new Uint8Array(length + 2 * pad);
  for (let row = 0, start = 0; row < height; row++, start += length) {
    line.set(pixels.subarray(start, start + length), pad);
    for (let pass = 0; pass < PASSES; pass++) {
      for (let i = 0; i < pad; i++) {
        line[i] = line[pad + (i % 3)]!;
        line[end + i] = line[end - 3 + (i % 3)]!;
      }
      if (box.radius === 0) blurLineOfThree(line, next, end, box);
      else blurLine(line, next, end, box);
      [line, next] = [next, line];
    }
    pixels.set(line.subarray(pad, end), start);
  }
}

/** One pass of a box narrower than three pixels (sigma below 1.41), which needs no running sum. */
function blurLineOfThree(line: Uint8Array, next: Uint8Array, end: number, { inner, outer }: BoxFilter): void {
  for (let i = 3; i < end; i++) {
    // The sum is below 2^32, but not below 2^31: Math.imul multiplies modulo 2^32, and >>> shifts unsigned.
    next[i] = (Math.imul(line[i]!, inner) + Math.imul(line[i - 3]! + line[i + 3]!, outer) + (1 << 23)) >>> 24;
  }
}

/** One pass with a running sum per channel over the pixels fully inside the box. */
function blurLine(line: Uint8Array, next: Uint8Array, end: number, { radius, inner, outer }: BoxFilter): void {
  const pad = (radius + 1) * 3;
  let [red, green, blue] = [0, 0, 0];
  for (let i = 3; i < 2 * pad; i += 3) {
    red += line[i]!;
    green += line[i + 1]!;
    blue += line[i + 2]!;
  }
  const half = 1 << 23;
  for (let i = pad, before = 0, after = 2 * pad; i < end; i += 3, before += 3, after += 3) {
    next[i] = (Math.imul(red, inner) + Math.imul(line[before]! + line[after]!, outer) + half) >>> 24;
    next[i + 1] = (Math.imul(green, inner) + Math.imul(line[before + 1]! + line[after + 1]!, outer) + half) >>> 24;
    next[i + 2] = (Math.imul(blue, inner) + Math.imul(line[before + 2]! + line[after + 2]!, outer) + half) >>> 24;
    red += line[after]! - line[before + 3]!;
    green += line[after + 1]! - line[before + 4]!;
    blue += line[after + 2]! - line[before + 5]!;
  }
}
