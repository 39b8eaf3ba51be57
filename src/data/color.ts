/**
 * Colour operations on interleaved 8-bit RGB, in place. They equal Pillow's ImageEnhance and ImageOps, which torchvision's
 * transforms of PIL images use. Blends are computed in float32, clamped and truncated, as in Pillow.
 */

/** ITU-R 601-2 luma in 16-bit fixed point, as in Pillow's conversion to mode L. */
function luma(r: number, g: number, b: number): number {
  return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
}

/** Table of clamp(from + factor * (to - from)) for every 8-bit `to`. */
function blendTable(from: number, factor: number): Uint8Array {
  const single = Math.fround(factor);
  const table = new Uint8Array(256);
  for (let to = 0; to < 256; to++) {
    const value = Math.fround(from + Math.fround(single * (to - from)));
    table[to] = value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value);
  }
  return table;
}

function applyTable(pixels: Uint8Array, table: Uint8Array): void {
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[pixels[i]!]!;
}

/** Blends with black; factor 1 leaves the image unchanged. */
export function adjustBrightness(pixels: Uint8Array, factor: number): void {
  applyTable(pixels, blendTable(0, factor));
}

/** Blends with the mean luma of the image, rounded to an integer. */
export function adjustContrast(pixels: Uint8Array, factor: number): void {
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 3) sum += luma(pixels[i]!, pixels[i + 1]!, pixels[i + 2]!);
  const mean = Math.trunc(sum / (pixels.length / 3) + 0.5);
  applyTable(pixels, blendTable(mean, factor));
}

/** Blends each pixel with its own luma. */
export function adjustSaturation(pixels: Uint8Array, factor: number): void {
  const single = Math.fround(factor);
  const scaled = Float32Array.from({ length: 511 }, (_, i) => single * (i - 255));
  const blend = (grey: number, value: number): number => {
    const blended = Math.fround(grey + scaled[value - grey + 255]!);
    return blended <= 0 ? 0 : blended >= 255 ? 255 : blended | 0;
  };
  for (let i = 0; i < pixels.length; i += 3) {
    const r = pixels[i]!;
    const g = pixels[i + 1]!;
    const b = pixels[i + 2]!;
    const grey = luma(r, g, b);
    pixels[i] = blend(grey, r);
    pixels[i + 1] = blend(grey, g);
    pixels[i + 2] = blend(grey, b);
  }
}

/** Replaces the three channels with the luma. */
export function greyscale(pixels: Uint8Array): void {
  for (let i = 0; i < pixels.length; i += 3) {
    const grey = luma(pixels[i]!, pixels[i + 1]!, pixels[i + 2]!);
    pixels[i] = grey;
    pixels[i + 1] = grey;
    pixels[i + 2] = grey;
  }
}

/** Inverts values greater than or equal to `threshold`. */
export function solarize(pixels: Uint8Array, threshold = 128): void {
  applyTable(
    pixels,
    Uint8Array.from({ length: 256 }, (_, value) => (value < threshold ? value : 255 - value)),
  );
}
