import { tiffTags, turned } from './tiffTags.js';

/** Browsers leave the orientation in a WebP's EXIF aside, which the service applies as to any other format. */

const ascii = (bytes: Uint8Array, at: number, text: string): boolean =>
  [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));

/** The orientation in the EXIF of a WebP, 1 to 8; 1 for any other file. */
export function webpOrientation(bytes: Uint8Array): number {
  if (!ascii(bytes, 0, 'RIFF') || !ascii(bytes, 8, 'WEBP')) return 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (ascii(bytes, at, 'EXIF')) {
      const block = bytes.subarray(at + 8, at + 8 + length);
      // Some writers begin it as in JPEG files.
      return tiffTags(ascii(block, 0, 'Exif\0\0') ? block.subarray(6) : block)?.orientation ?? 1;
    }
    // Chunks are padded to an even length.
    at += 8 + length + (length % 2);
  }
  return 1;
}

/** Transforms of a stored picture of w x h pixels to the upright one, by orientation: the arguments of `setTransform`. */
const TRANSFORMS: readonly ((w: number, h: number) => [number, number, number, number, number, number])[] = [
  () => [1, 0, 0, 1, 0, 0],
  (w) => [-1, 0, 0, 1, w, 0],
  (w, h) => [-1, 0, 0, -1, w, h],
  (_, h) => [1, 0, 0, -1, 0, h],
  () => [0, 1, 1, 0, 0, 0],
  (_, h) => [0, 1, -1, 0, h, 0],
  (w, h) => [0, -1, -1, 0, h, w],
  (w) => [0, -1, 1, 0, 0, w],
];

/** Draws a stored picture upright. */
export async function upright(stored: ImageBitmap, orientation: number): Promise<ImageBitmap> {
  if (orientation === 1) return stored;
  const { width, height } = stored;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = turned(orientation) ? [height, width] : [width, height];
  const context = canvas.getContext('2d')!;
  context.setTransform(...TRANSFORMS[orientation - 1]!(width, height));
  context.drawImage(stored, 0, 0);
  stored.close();
  return createImageBitmap(canvas);
}

/** A WebP of 2 x 1 pixels with orientation 6. */
const PROBE =
  'UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VYSUYaAAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=';

let applied: Promise<boolean> | undefined;

/** Whether this browser applies the orientation of a WebP, as a later version may. */
export function browserAppliesWebpOrientation(): Promise<boolean> {
  applied ??= (async () => {
    const bytes = Uint8Array.from(atob(PROBE), (letter) => letter.charCodeAt(0));
    const { width } = await createImageBitmap(new Blob([bytes]), { imageOrientation: 'from-image' });
    return width === 1;
  })().catch(() => false);
  return applied;
}
