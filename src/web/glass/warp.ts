import { inverse, project, type Rectangle } from './geometry.js';
import type { Photo } from './photo.js';

/** Pixels of the warped picture along its longest side. */
const LONGEST = 640;

interface Target extends Rectangle {
  /** The part of b's original that the target shows, and whether it is mirrored. */
  readonly view: Rectangle;
  readonly flip: boolean;
}

/**
 * Draws a part of a photograph as a homography maps it into another picture: every pixel of the target takes the colour of
 * the pixel that maps to it.
 * @param matrix from pixels of the photograph to pixels of the target's original
 * @param part of the photograph; the rest is left out
 */
export function drawWarp(
  context: CanvasRenderingContext2D,
  { bitmap }: Photo,
  matrix: readonly number[],
  part: Rectangle,
  target: Target,
  opacity: number,
): void {
  if (!bitmap) return;
  const read = Math.min(1, LONGEST / Math.max(part.width, part.height));
  const [w, h] = [Math.max(1, Math.round(part.width * read)), Math.max(1, Math.round(part.height * read))];
  const source = new OffscreenCanvas(w, h).getContext('2d', { willReadFrequently: true })!;
  source.drawImage(bitmap, part.left, part.top, part.width, part.height, 0, 0, w, h);
  const pixels = new Uint32Array(source.getImageData(0, 0, w, h).data.buffer);

  const write = LONGEST / Math.max(target.view.width, target.view.height);
  const [width, height] = [
    Math.max(1, Math.round(target.view.width * write)),
    Math.max(1, Math.round(target.view.height * write)),
  ];
  const image = new ImageData(width, height);
  const warped = new Uint32Array(image.data.buffer);
  const back = inverse(matrix);
  for (let row = 0; row < height; row++) {
    const y = target.view.top + ((row + 0.5) / height) * target.view.height;
    for (let column = 0; column < width; column++) {
      const share = (column + 0.5) / width;
      const x = target.view.left + (target.flip ? 1 - share : share) * target.view.width;
      const from = project(back, x, y);
      if (!from) continue;
      const i = Math.floor(((from.x - part.left) / part.width) * w);
      const j = Math.floor(((from.y - part.top) / part.height) * h);
      if (i >= 0 && i < w && j >= 0 && j < h) warped[row * width + column] = pixels[j * w + i]!;
    }
  }
  const drawn = new OffscreenCanvas(width, height);
  drawn.getContext('2d')!.putImageData(image, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(drawn, target.left, target.top, target.width, target.height);
  context.globalAlpha = 1;
}
