/** v * (1 - s/255 * f/255) rounded, in Pillow's order of operations. */
function shade(value: number, saturation: number, fraction: number): number {
  return (value * (1 - saturation * fraction) + 0.5) | 0;
}

/**
 * Turns the hue of interleaved 8-bit RGB in place: Pillow's conversion to 8-bit HSV, a shift of the hue by
 * trunc(factor * 255) modulo 256 as in torchvision, and the conversion back. The detour through 8-bit HSV rounds, so a
 * factor of 0 changes pixels a little as well; torchvision's does too.
 * @param factor share of a whole turn, -0.5..0.5
 */
export function adjustHue(pixels: Uint8Array, factor: number): void {
  const shift = Math.trunc(factor * 255) & 255;
  for (let i = 0; i < pixels.length; i += 3) {
    const r = pixels[i]!;
    const g = pixels[i + 1]!;
    const b = pixels[i + 2]!;
    const value = Math.max(r, g, b);
    const least = Math.min(r, g, b);
    if (value === least) continue; // Grey has no saturation: the hue does not matter.
    const range = value - least;
    // Rounded to float32 where Pillow holds a float: whole 8-bit hues often lie exactly on the step between two.
    const fromRed = Math.fround((value - r) / range);
    const fromGreen = Math.fround((value - g) / range);
    const fromBlue = Math.fround((value - b) / range);
    // In sixths of a turn, with 0 at red.
    let sixths: number;
    if (r === value) sixths = fromBlue - fromGreen;
    else if (g === value) sixths = 2 + fromRed - fromBlue;
    else sixths = 4 + fromGreen - fromRed;
    // -1/6 <= sixths / 6 < 1, so one comparison does what Pillow's fmod(..., 1) does, to the bit.
    const shifted = Math.fround(sixths) / 6 + 1;
    const turn = Math.fround(shifted >= 1 ? shifted - 1 : shifted);
    const hue = (((turn * 255) | 0) + shift) & 255;
    // The saturation is rounded to 8 bits on the way.
    const saturation = (Math.fround(range / value) * 255) | 0;
    if (saturation === 0) {
      pixels[i] = pixels[i + 1] = pixels[i + 2] = value;
      continue;
    }
    const sector = ((hue * 6) / 255) | 0;
    const fraction = (hue * 6) / 255 - sector;
    const share = saturation / 255;
    const p = shade(value, share, 1);
    const q = shade(value, share, fraction);
    const t = shade(value, share, 1 - fraction);
    switch (sector % 6) {
      case 0:
        pixels[i] = value;
        pixels[i + 1] = t;
        pixels[i + 2] = p;
        break;
      case 1:
        pixels[i] = q;
        pixels[i + 1] = value;
        pixels[i + 2] = p;
        break;
      case 2:
        pixels[i] = p;
        pixels[i + 1] = value;
        pixels[i + 2] = t;
        break;
      case 3:
        pixels[i] = p;
        pixels[i + 1] = q;
        pixels[i + 2] = value;
        break;
      case 4:
        pixels[i] = t;
        pixels[i + 1] = p;
        pixels[i + 2] = value;
        break;
      default:
        pixels[i] = value;
        pixels[i + 1] = p;
        pixels[i + 2] = q;
    }
  }
}
