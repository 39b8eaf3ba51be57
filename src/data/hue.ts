/** v * (1 - s/255 * f/255), rounded, in the same order of operations as Pillow. */
function shade(value: number, saturation: number, fraction: number): number {
  return (value * (1 - saturation * fraction) + 0.5) | 0;
}

/**
 * Shifts the hue of interleaved 8-bit RGB in place: Pillow's conversion to 8-bit HSV, a shift of the hue by trunc(factor * 255)
 * modulo 256 as in torchvision, and the conversion back. 8-bit HSV is rounded, so even a factor of 0 changes pixels slightly, as
 * in torchvision.
 * @param factor shift in turns, -0.5..0.5
 */
export function adjustHue(pixels: Uint8Array, factor: number): void {
  const shift = Math.trunc(factor * 255) & 255;
  for (let i = 0; i < pixels.length; i += 3) {
    const r = pixels[i]!;
    const g = pixels[i + 1]!;
    const b = pixels[i + 2]!;
    const value = Math.max(r, g, b);
    const min = Math.min(r, g, b);
    if (value === min) continue; // Grey has saturation 0, so its hue does not matter.
    const range = value - min;
    // Rounded to float32 where Pillow uses a float: 8-bit hues often lie exactly on the boundary between two values.
    const fromRed = Math.fround((value - r) / range);
    const fromGreen = Math.fround((value - g) / range);
    const fromBlue = Math.fround((value - b) / range);
    // In sixths of a turn; 0 is red.
    let sixths: number;
    if (r === value) sixths = fromBlue - fromGreen;
    else if (g === value) sixths = 2 + fromRed - fromBlue;
    else sixths = 4 + fromGreen - fromRed;
    // Since -1/6 <= sixths / 6 < 1, one comparison gives the same bits as Pillow's fmod(..., 1).
    const shifted = Math.fround(sixths) / 6 + 1;
    const turn = Math.fround(shifted >= 1 ? shifted - 1 : shifted);
    const hue = (((turn * 255) | 0) + shift) & 255;
    // The saturation is truncated to 8 bits, as in Pillow.
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
