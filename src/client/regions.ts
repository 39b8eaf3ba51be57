import type { PoolingRegion as PoolingRegionMessage } from '../proto/generated/vicregl/v1/PoolingRegion.js';
import { bytes } from './bytes.js';
import { uint32Fields, uint32List } from './uint32.js';

/** A rectangle of the original image, given by its edges in pixels, which may be fractional. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Run lengths in COCO's format: column by column, alternately outside and inside the mask, outside first. */
export interface RunLengths {
  /** Size of the mask in pixels; must equal that of the original. */
  readonly width: number;
  readonly height: number;
  /** The lengths, or their compressed string as in pycocotools. */
  readonly counts: readonly number[] | string;
}

/** One byte per pixel, rows from the top, not 0 inside the mask. */
export interface Bitmap {
  /** Size of the mask in pixels; must equal that of the original. */
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A region of the image to pool to one vector: a rectangle, or a mask of the original's size. */
export type PoolingRegion =
  | { readonly box: Box }
  | { readonly runLengths: RunLengths }
  | { readonly bitmap: Bitmap }
  /** A PNG file with one channel or a palette (its indices); not 0 inside the mask. */
  | { readonly png: Uint8Array };

/**
 * The message of a region.
 * @throws VicreglError `INVALID_ARGUMENT` for a size or a run length that is not a uint32, and pixels that are not bytes.
 */
export function regionMessage(region: PoolingRegion, field: string): PoolingRegionMessage {
  if ('box' in region) return { box: region.box };
  if ('png' in region) return { mask: { png: bytes(`${field}.png`, region.png) } };
  if ('bitmap' in region) {
    const { width, height, data } = region.bitmap;
    const size = uint32Fields(`${field}.bitmap`, { width, height });
    return { mask: { bitmap: { ...size, data: bytes(`${field}.bitmap.data`, data) } } };
  }
  const { width, height, counts } = region.runLengths;
  const size = uint32Fields(`${field}.runLengths`, { width, height });
  return {
    mask: {
      runLengths: {
        ...size,
        ...(typeof counts === 'string'
          ? { compressed: Buffer.from(counts, 'latin1') }
          : { counts: uint32List(`${field}.runLengths.counts`, counts) }),
      },
    },
  };
}
