/** Composites of cut-out objects on photographs, with a mask of classes: a small segmentation data set. */

import sharp from 'sharp';
import type { RandomStream } from '../../src/tensor/random.js';

/** An object with its opacity, RGBA [height, width, 4]. */
export interface CutOut {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** An object to be placed, and its class. */
export interface PlacedObject {
  readonly object: CutOut;
  /** Index in the mask; 0 is the background. */
  readonly label: number;
}

export interface Composite {
  /** RGB [size, size, 3]. */
  readonly image: Uint8Array;
  /** Labels [size, size]. */
  readonly mask: Uint8Array;
}

/** A pixel belongs to the white background of a product photograph if all its channels have at least this value. */
const WHITE = 244;
/** Long side of an object, as a share of the canvas. */
const SHARE = [0.35, 0.8] as const;

/**
 * Makes the white background of a photograph transparent: what is white and connected to the border (4 neighbours). White parts
 * inside the object stay.
 * @param data RGBA [height, width, 4], changed in place.
 */
export function clearWhiteBackground({ width, height, data }: CutOut): void {
  const visited = new Uint8Array(width * height);
  const open: number[] = [];
  const visit = (pixel: number): void => {
    if (visited[pixel] === 1) return;
    const at = pixel * 4;
    if (data[at]! < WHITE || data[at + 1]! < WHITE || data[at + 2]! < WHITE) return;
    visited[pixel] = 1;
    open.push(pixel);
  };
  for (let x = 0; x < width; x++) {
    visit(x);
    visit((height - 1) * width + x);
  }
  for (let y = 0; y < height; y++) {
    visit(y * width);
    visit(y * width + width - 1);
  }
  while (open.length > 0) {
    const pixel = open.pop()!;
    data[pixel * 4 + 3] = 0;
    const x = pixel % width;
    if (x > 0) visit(pixel - 1);
    if (x < width - 1) visit(pixel + 1);
    if (pixel >= width) visit(pixel - width);
    if (pixel < (height - 1) * width) visit(pixel + width);
  }
}

/** Share of the pixels that are opaque. */
export function opaqueShare({ data }: CutOut): number {
  let opaque = 0;
  for (let at = 3; at < data.length; at += 4) if (data[at]! > 127) opaque++;
  return opaque / (data.length / 4);
}

/**
 * Places objects on a background, one over the other, each fully inside the canvas, flipped at random, with a long side of 35 to
 * 80 % of the canvas. A pixel of the mask has the label of the last object whose opacity there is over one half.
 * @param background RGB [size, size, 3].
 */
export async function compose(
  random: RandomStream,
  background: Uint8Array,
  size: number,
  objects: readonly PlacedObject[],
): Promise<Composite> {
  const image = Uint8Array.from(background);
  const mask = new Uint8Array(size * size);
  for (const { object, label } of objects) {
    const side = random.uniform(...SHARE) * size;
    const flip = random.bernoulli(0.5);
    const scale = side / Math.max(object.width, object.height);
    const width = Math.max(1, Math.round(object.width * scale));
    const height = Math.max(1, Math.round(object.height * scale));
    const left = random.integer(size - width + 1);
    const top = random.integer(size - height + 1);
    const resized = sharp(object.data, { raw: { width: object.width, height: object.height, channels: 4 } })
      .resize(width, height, { fit: 'fill' })
      .flop(flip);
    const pixels = await resized.raw().toBuffer();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const from = (y * width + x) * 4;
        const alpha = pixels[from + 3]!;
        if (alpha === 0) continue;
        const to = (top + y) * size + left + x;
        for (let channel = 0; channel < 3; channel++) {
          const below = image[to * 3 + channel]!;
          image[to * 3 + channel] = Math.round(below + ((pixels[from + channel]! - below) * alpha) / 255);
        }
        if (alpha > 127) mask[to] = label;
      }
    }
  }
  return { image, mask };
}
