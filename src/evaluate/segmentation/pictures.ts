import sharp from 'sharp';
import { IGNORED } from '../../heads/pixelCrossEntropy.js';
import { encodePalettePng } from '../../image/png.js';
import type { RgbImage, Size } from '../../image/types.js';
import type { SegmentationClass } from './classTables.js';

/** Pictures of segmentations, in the colours of the classes. */

/** Pixels without a class. */
const IGNORED_COLOUR = [255, 255, 255] as const;
/** Pixels between the parts of a picture. */
const GAP = 8;

const pixel = (classes: readonly SegmentationClass[], label: number) =>
  label === IGNORED ? IGNORED_COLOUR : classes[label]!.colour;

/** Labels as RGB pixels [height, width, 3]. */
function paintLabels(labels: Uint8Array, classes: readonly SegmentationClass[]): Uint8Array {
  const painted = new Uint8Array(labels.length * 3);
  for (let i = 0; i < labels.length; i++) painted.set(pixel(classes, labels[i]!), i * 3);
  return painted;
}

/** Photograph, truth and prediction side by side. @returns a PNG file. */
export function comparisonPicture(
  photograph: RgbImage,
  truth: Uint8Array,
  predicted: Uint8Array,
  classes: readonly SegmentationClass[],
): Promise<Buffer> {
  const { width, height } = photograph;
  const whole = 3 * width + 2 * GAP;
  const canvas = new Uint8Array(whole * height * 3).fill(255);
  const parts = [photograph.data, paintLabels(truth, classes), paintLabels(predicted, classes)];
  parts.forEach((part, i) => {
    for (let row = 0; row < height; row++) {
      canvas.set(part.subarray(row * width * 3, (row + 1) * width * 3), (row * whole + i * (width + GAP)) * 3);
    }
  });
  return sharp(canvas, { raw: { width: whole, height, channels: 3 } })
    .png()
    .toBuffer();
}

/** Labels as a palette PNG, whose indices are the labels and whose colours those of the classes. */
export const labelPicture = (labels: Uint8Array, size: Size, classes: readonly SegmentationClass[]): Buffer =>
  encodePalettePng(
    labels,
    size,
    classes.map(({ colour }) => colour),
  );

/** The photograph with the classes' colours laid over it, half transparent. @returns a PNG file. */
export function overlayPicture(
  { width, height, data }: RgbImage,
  labels: Uint8Array,
  classes: readonly SegmentationClass[],
): Promise<Buffer> {
  const painted = paintLabels(labels, classes);
  const mixed = painted.map((value, i) => (value + data[i]! + 1) >> 1);
  return sharp(mixed, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
