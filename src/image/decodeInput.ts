import { checkFile, decodeChecked, decodedPixels, decoding, type ImageLimits } from './decode.js';
import { type OutputLimits, planInput, prepareImage } from './resize.js';
import type { PreparedImage, ResizePolicy } from './types.js';

/**
 * JPEG's own reduction takes part only in pictures whose sides it divides: of others it leaves the last pixels out or
 * repeats them, which would move everything by up to half a pixel of the result.
 */
const WHOLE_BLOCKS = 8;

/**
 * Decodes a picture and resizes it to a network input: `decodeImage`, then `prepareImage`. Plain JPEG files that get
 * smaller take one step in place of two, with the same pixels; where one becomes less than half as large, and its sides
 * are multiples of 8, the decoder itself leaves out frequencies that the resizing would (pixels differ by 0.3 to 0.6 of 255 in
 * the mean).
 * @param stride input pixels from one cell to the next
 * @throws ImageError as the two do.
 */
export async function decodeInput(
  bytes: Uint8Array,
  policy: ResizePolicy,
  stride: number,
  limits: { readonly image: ImageLimits; readonly output: OutputLimits },
): Promise<PreparedImage> {
  const file = await checkFile(bytes, limits.image);
  const { format, size: original, plainJpeg } = file;
  const { resized, keep, toOriginal } = planInput(original, policy, stride, limits.output);
  if (!plainJpeg || resized.width > original.width || resized.height > original.height) {
    return prepareImage(await decodeChecked(file, limits.image), policy, stride, limits.output);
  }
  let pipeline = decoding(file, limits.image);
  const divides = original.width % WHOLE_BLOCKS === 0 && original.height % WHOLE_BLOCKS === 0;
  // What is cut before it is resized is decoded at its full size.
  if (!divides) pipeline = pipeline.extract({ left: 0, top: 0, ...original });
  pipeline = pipeline.resize(resized.width, resized.height, { fit: 'fill', kernel: 'cubic', fastShrinkOnLoad: false });
  const image = await decodedPixels(keep === undefined ? pipeline : pipeline.extract(keep), format);
  return { image, toOriginal, original: { width: original.width, height: original.height } };
}
