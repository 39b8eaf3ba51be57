import { DataError } from '../../data/dataError.js';
import { IGNORED } from '../../heads/pixelCrossEntropy.js';
import { ImageError } from '../../image/imageError.js';
import { decodeEqualChannels, decodeMask } from '../../image/mask.js';
import { pngHeader } from '../../image/png.js';
import type { Rectangle, Size } from '../../image/types.js';

/** Index masks: PNG files whose grey levels or palette indices are labels. */

/** Labels of an image's pixels, rows from the top; `IGNORED` where there is no class. */
export interface LabelMask extends Size {
  readonly data: Uint8Array;
}

/** Which part of a photograph, at a size that may not be its own, a crop shows. */
export interface CroppedPart {
  /** Size of the photograph in pixels. */
  readonly size: Size;
  /** What of it is kept: smaller than the crop where the photograph is. */
  readonly keep: Rectangle;
  /** Whether it is mirrored left to right. */
  readonly flip: boolean;
}

/** Copies the labels of a crop to `target` [crop, crop]: of each pixel that of the nearest one in the mask. What is padded is ignored. */
export function copyLabels(mask: LabelMask, { size, keep, flip }: CroppedPart, crop: number, target: Uint8Array): void {
  target.fill(IGNORED);
  const nearest = (at: number, scaled: number, side: number) => Math.floor(((at + 0.5) * side) / scaled);
  const columns = Int32Array.from({ length: keep.width }, (_, x) =>
    nearest(keep.left + (flip ? keep.width - 1 - x : x), size.width, mask.width),
  );
  for (let row = 0; row < keep.height; row++) {
    const line = nearest(keep.top + row, size.height, mask.height) * mask.width;
    for (let x = 0; x < keep.width; x++) target[row * crop + x] = mask.data[line + columns[x]!]!;
  }
}

/**
 * What the numbers in files mean: entry i is the label of the number i (`IGNORED` for none), undefined where the data set does
 * not have such a number.
 */
export type LabelTable = readonly (number | undefined)[];

/** A table for numbers that are labels. @param ignored further numbers to leave out; `IGNORED` always is. */
export function directLabels(classes: number, ignored: readonly number[] = []): LabelTable {
  return Array.from({ length: 256 }, (_, value) =>
    value === IGNORED || ignored.includes(value) ? IGNORED : value < classes ? value : undefined,
  );
}

/**
 * Reads a mask's numbers as they stand in the file. Nothing is converted: no palette, no colour profile, no resizing. A grey mask may
 * have been saved as RGB.
 * @param name of the file, for errors
 * @param size that it must have: its image's
 * @throws DataError `malformed` that names the file, for another format, another size or damage.
 */
export async function readMaskNumbers(bytes: Uint8Array, name: string, size?: Size): Promise<LabelMask> {
  try {
    const { width, height, bits, colour } = pngHeaderOf(bytes);
    if (bits === 16) {
      throw new DataError(
        'malformed',
        `${name} has 16 bits a pixel; labels are 8-bit numbers, so save it as an 8-bit PNG (instance masks are not read)`,
      );
    }
    if (size !== undefined && (size.width !== width || size.height !== height)) {
      throw new DataError(
        'malformed',
        `${name} is a mask of ${width} x ${height} pixels, and its image has ${size.width} x ${size.height}; save it at the size of the image`,
      );
    }
    if (colour === 'RGB') {
      const data = await decodeEqualChannels(bytes);
      if (data !== undefined) return { width, height, data };
    }
    if (colour !== 'grey' && colour !== 'palette') {
      throw new DataError(
        'malformed',
        `${name} is ${colour}, with several values a pixel; a mask has one number a pixel: save it as greyscale or with a palette`,
      );
    }
    const { data } = await decodeMask(bytes, { width, height });
    // Numbers of fewer bits were scaled to 8, by a whole factor.
    const factor = 255 / (2 ** bits - 1);
    return {
      width,
      height,
      data: factor === 1 ? (data as Uint8Array) : Uint8Array.from(data, (value) => value / factor),
    };
  } catch (cause) {
    if (cause instanceof ImageError) throw new DataError('malformed', `${name}: ${cause.message}`, { cause });
    throw cause;
  }
}

function pngHeaderOf(bytes: Uint8Array): ReturnType<typeof pngHeader> {
  if (bytes[0] === 0x89 && bytes[1] === 0x50) return pngHeader(bytes);
  throw new ImageError(
    'unsupported_format',
    'it is not a PNG file; save the mask as an 8-bit PNG (JPEG would change its numbers)',
  );
}

/**
 * Replaces the numbers of a file by labels, in place.
 * @throws DataError `malformed` that names the file and the first number that is none of the data set's.
 */
export function applyLabels(mask: LabelMask, table: LabelTable, name: string, classes: number): LabelMask {
  const { data, width } = mask;
  for (let i = 0; i < data.length; i++) {
    const label = table[data[i]!];
    if (label === undefined) {
      throw new DataError(
        'malformed',
        `${name} has the label ${data[i]} at column ${i % width}, row ${Math.floor(i / width)}, and there are ${classes} classes; ` +
          `labels are numbers of classes, and ${IGNORED} is ignored: correct the mask, or the list of classes`,
      );
    }
    data[i] = label;
  }
  return mask;
}
