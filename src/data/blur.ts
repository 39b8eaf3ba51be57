/**
 * Gaussian blur as Pillow's ImageFilter.GaussianBlur computes it: three passes of an extended box filter along the
 * rows, then three along the columns (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box
 * Filtering", SSVM 2011), with 8-bit rounding after each pass and the edge pixels repeated outwards.
 */

const PASSES = 3;

/** Radius (not whole) of the box whose three-fold application has the standard deviation sigma. */
function boxRadius(sigma: number): number {
  const variance = (sigma * sigma) / PASSES;
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const excess = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  return whole + excess / (6 * (variance - (whole + 1) * (whole + 1)));
}

/**
 * Blurs interleaved 8-bit RGB in place.
 * @param sigma standard deviation in pixels, over 0
 */
export function gaussianBlur(pixels: Uint8Array, width: number, height: number, sigma: number): void {
  const box = Math.fround(boxRadius(sigma));
  const radius = Math.trunc(box);
  // Fixed point with 24 bits: the inner weight, and the weight of the two pixels that the box covers in part.
  const inner = Math.trunc((1 << 24) / (box * 2 + 1));
  const outer = Math.trunc(((1 << 24) - (radius * 2 + 1) * inner) / 2);
  const line = new Uint8Array(Math.max(width, height) + 2 * (radius + 1));
  for (let row = 0; row < height; row++) {
    for (let channel = 0; channel < 3; channel++) {
      blurLine(pixels, row * width * 3 + channel, 3, width, line, radius, inner, outer);
    }
  }
  for (let at = 0; at < width * 3; at++) blurLine(pixels, at, width * 3, height, line, radius, inner, outer);
}

/** Blurs `length` values that lie `step` apart; `line` is room for them and radius + 1 copies of either edge. */
function blurLine(
  pixels: Uint8Array,
  start: number,
  step: number,
  length: number,
  line: Uint8Array,
  radius: number,
  inner: number,
  outer: number,
): void {
  const pad = radius + 1;
  for (let i = 0, at = start; i < length; i++, at += step) line[pad + i] = pixels[at]!;
  for (let pass = 0; pass < PASSES; pass++) {
    const first = line[pad]!;
    const last = line[pad + length - 1]!;
    for (let i = 0; i < pad; i++) {
      line[i] = first;
      line[pad + length + i] = last;
    }
    // Sum over the whole pixels of the box around the first value.
    let sum = 0;
    for (let i = 1; i <= 2 * radius + 1; i++) sum += line[i]!;
    // Results go to the pixels, as the line's old values are still needed behind the running sum.
    for (let i = 0, at = start; i < length; i++, at += step) {
      const before = line[i]!;
      const after = line[i + 2 * pad]!;
      // Below 2^32, but not below 2^31: multiplied modulo 2^32 and shifted without sign.
      pixels[at] = (Math.imul(sum, inner) + Math.imul(before + after, outer) + (1 << 23)) >>> 24;
      sum += after - line[i + 1]!;
    }
    if (pass + 1 < PASSES) for (let i = 0, at = start; i < length; i++, at += step) line[pad + i] = pixels[at]!;
  }
}
