import { DataError } from '../../data/dataError.js';
import { resample } from '../../image/resample.js';
import type { RgbImage, Size } from '../../image/types.js';
import type { CheckedPair } from './segmentationData.js';

/** Photographs that the network sees at another size than their own. */

/** Pixels of a rescaled photograph: as many as one that is read may have. */
const MAX_PIXELS = 200_000_000;

/**
 * The size at which the network sees a photograph.
 * @param shortest its shorter side in pixels, aspect kept, as mmsegmentation's `Resize` has it; undefined: the photograph's own size.
 */
export function seenSize({ width, height }: Size, shortest?: number): Size {
  if (shortest === undefined) return { width, height };
  const factor = shortest / Math.min(width, height);
  return { width: Math.round(width * factor), height: Math.round(height * factor) };
}

/** Who gave the size, and how another is had: for messages. */
interface SizeGiven {
  readonly by: string;
  readonly way: string;
}

const BY_FLAG: SizeGiven = { by: '--resize', way: 'use a smaller side, or leave the image out' };
/** A head that was trained with `--resize`. */
export const BY_HEAD: SizeGiven = {
  by: "the head's",
  way: 'use a photograph that is less narrow, or train a head with a smaller --resize',
};

/** @throws DataError `bad_option` for a photograph that is so long and narrow that it would become too large. */
export function requireSeenSizes(
  pairs: readonly Pick<CheckedPair, 'image' | 'size'>[],
  shortest: number | undefined,
  { by, way }: SizeGiven = BY_FLAG,
): void {
  for (const { image, size } of pairs) {
    const { width, height } = seenSize(size, shortest);
    if (width * height <= MAX_PIXELS) continue;
    throw new DataError(
      'bad_option',
      `${by} shortest:${shortest} makes ${width} x ${height} pixels of ${image}, which has ${size.width} x ${size.height}; at most ${MAX_PIXELS / 1e6} megapixels are possible: ${way}`,
    );
  }
}

/** A photograph at another size (bicubic, antialiased). */
export async function rescaled(photograph: RgbImage, size: Size): Promise<RgbImage> {
  if (size.width === photograph.width && size.height === photograph.height) return photograph;
  return resample(photograph, { size });
}
