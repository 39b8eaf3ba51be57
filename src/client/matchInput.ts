import type { MatchSide } from '../proto/generated/vicregl/v1/MatchSide.js';
import type { SentFeatures } from '../proto/generated/vicregl/v1/SentFeatures.js';
import { bool } from './bool.js';
import { kindOf } from './bytes.js';
import type { Grid } from './grid.js';
import { type ImageInput, imageMessage } from './image.js';
import { uint32Fields } from './uint32.js';
import { VicreglError } from './vicreglError.js';

/** Local vectors that the caller has, as returned by `features`. */
export interface GivenFeatures {
  /** [rows, columns, channels] row-major, finite. */
  readonly data: Float32Array;
  readonly shape: readonly number[];
  readonly grid: Grid;
}

/** One side of a match: an image, features stored on the server, or the caller's own features. */
export type MatchInput =
  | ImageInput
  /** An image; with `store`, the server stores its vectors, and the result has the reference. */
  | { readonly image: ImageInput; readonly store?: boolean }
  /** A reference from `storeFeatures` or an earlier match. */
  | { readonly featureRef: string }
  | { readonly features: GivenFeatures };

function originalSize({ width, height }: NonNullable<Grid['original']>, field: string) {
  uint32Fields(field, { width, height });
  return { originalWidth: width, originalHeight: height };
}

function featuresMessage({ data, shape, grid }: GivenFeatures, field: string): SentFeatures {
  // The bytes of any other array would be read as float32.
  if (!(data instanceof Float32Array)) {
    throw new VicreglError(
      'INVALID_ARGUMENT',
      `${field}.features.data: a value of type ${kindOf(data)} is not a Float32Array`,
    );
  }
  const { rows, columns, stride, cellToPixel, original } = grid;
  return {
    features: {
      dtype: 'DATA_TYPE_FLOAT32',
      shape: [...shape],
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    },
    grid: {
      ...uint32Fields(`${field}.grid`, { rows, columns, stride }),
      cellToPixel,
      ...(original && originalSize(original, `${field}.grid.original`)),
    },
  };
}

/**
 * The message of one side.
 * @param field its name in errors
 * @throws VicreglError `INVALID_ARGUMENT` for a size that is not a uint32, and vectors that are not a Float32Array.
 */
export function sideMessage(input: MatchInput, field: string): MatchSide {
  if (!(input instanceof Uint8Array) && typeof input === 'object' && input !== null) {
    if ('featureRef' in input) return { featureRef: input.featureRef };
    if ('features' in input) return { features: featuresMessage(input.features, field) };
    if ('image' in input) {
      return { image: imageMessage(input.image, field), store: bool(`${field}.store`, input.store ?? false) };
    }
  }
  return { image: imageMessage(input, field) };
}
