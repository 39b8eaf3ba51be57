import type { SkippedImage } from '../data/sample.js';
import type { ImageSource } from '../data/sources.js';
import { decodeImage } from '../image/decode.js';
import { prepareImage } from '../image/resize.js';
import type { NamedInput } from '../models/compareModels.js';
import type { Manifest } from '../models/manifest.js';
import type { WorkProgress } from '../progress/work.js';
import { tensor } from '../tensor/tensor.js';

/** `count` of `length` indices, evenly spaced; all of them if there are fewer. */
export function spreadIndices(length: number, count: number): number[] {
  const taken = Math.min(length, count);
  return Array.from({ length: taken }, (_, i) => Math.floor((i * length) / taken));
}

/**
 * Images of a source as a model's network input, resized and cropped according to its manifest, one at a time.
 * @param skipped receives the images that cannot be decoded, which are skipped.
 * @param progress advances once per image, when the next one is requested.
 */
export async function* networkInputs(
  source: ImageSource,
  indices: readonly number[],
  { preprocessing, stride }: Pick<Manifest, 'preprocessing' | 'stride'>,
  skipped: SkippedImage[],
  progress: WorkProgress,
): AsyncGenerator<NamedInput> {
  const { resize, crop } = preprocessing;
  for (const index of indices) {
    const name = source.nameOf(index);
    let input: NamedInput;
    try {
      const decoded = await decodeImage(await source.read(index));
      const { image } = await prepareImage(decoded, { kind: 'shortestSide', resize, crop }, stride);
      input = { name, image: tensor('uint8', [1, image.height, image.width, 3], image.data) };
    } catch (error) {
      skipped.push({ index, name, reason: error instanceof Error ? error.message : String(error) });
      progress.advance();
      continue;
    }
    yield input;
    progress.advance();
  }
}
