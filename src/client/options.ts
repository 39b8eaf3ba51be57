import type { FeatureMatching } from '../proto/generated/vicregl/v1/FeatureMatching.js';
import type { HomographyFit } from '../proto/generated/vicregl/v1/HomographyFit.js';
import type { LocationMatching } from '../proto/generated/vicregl/v1/LocationMatching.js';
import type { Tiles as TilesMessage } from '../proto/generated/vicregl/v1/Tiles.js';
import type { Upsample as UpsampleMessage } from '../proto/generated/vicregl/v1/Upsample.js';
import { bool } from './bool.js';
import type { Pca } from './pca.js';
import { localSpaces, matchDistances, protocolName } from './protocolNames.js';
import type { Box, PoolingRegion } from './regions.js';
import type { CallOptions } from './transport.js';
import { uint32, uint32Fields } from './uint32.js';

/** Options of every call. */
export interface RequestOptions extends CallOptions {
  /** `name` or `name@version` of the model; default: the server's default model. */
  readonly model?: string;
}

interface VectorFields {
  /** `name` or `name@version` of the model; default: the server's default model. */
  readonly model?: string;
  /** Scales vectors to length 1. Default false. */
  readonly l2Normalize?: boolean;
  /** Data type on the wire: float16 halves the bytes, int8 (with a scale for each vector) quarters them. Default float32. */
  readonly dtype?: 'float32' | 'float16' | 'int8';
}

/** Options of one image's global vector. */
export interface EmbedFields extends VectorFields {
  /** Space of the vector. Default backbone. */
  readonly space?: 'backbone' | 'expander';
}

/** The size of an enlarged map: a factor for rows and columns, or their numbers. */
export type Upsample = number | { readonly rows: number; readonly columns: number };

/** Overlapping windows of the resized image; lengths in its pixels, multiples of the model's stride. */
export interface Tiles {
  /** Default: the side of the model's own input. */
  readonly width?: number;
  /** Default: the width. */
  readonly height?: number;
  /** Pixels that adjacent windows share. Default: half of the shorter side, rounded down to the stride. */
  readonly overlap?: number;
}

/** Options of one image's local vectors, applied in this order: tiles, upsample, region or cells, pooling, l2Normalize, pca, dtype. */
export interface FeatureFields extends VectorFields {
  /** Space of the vectors. Default backbone. */
  readonly space?: 'backbone' | 'localProjector';
  /** Only the cells that overlap this rectangle of the original, in pixels. */
  readonly region?: Box;
  /** Only these cells, in this order. */
  readonly cells?: readonly { readonly row: number; readonly column: number }[];
  /** Maps to return instead of only the map of the space: 0 is the map of the space, 1 that of the first stage, and so on. */
  readonly stages?: readonly number[];
  /** One vector for each region instead of the map. */
  readonly pooling?: readonly PoolingRegion[];
  /** Principal components instead of all dimensions. */
  readonly pca?: Pca;
  /** Enlarges the map bilinearly, as torch's interpolate without align_corners; `region` and `cells` refer to the enlarged map. */
  readonly upsample?: Upsample;
  /**
   * Runs the network on overlapping windows of the image and merges their maps, for images larger than the network's input.
   * Without a `resize` the image keeps its size.
   */
  readonly tiles?: Tiles;
}

export type EmbedOptions = RequestOptions & EmbedFields;

export type FeatureOptions = RequestOptions &
  FeatureFields & {
    /** Receives the response in blocks, for maps over the limits of one message. Default false. */
    readonly chunked?: boolean;
  };

/** Pairs cells by nearest vector. */
export interface MatchByFeatures {
  readonly by?: 'features';
  /** Default: the local projector if the model has one. */
  readonly space?: 'backbone' | 'localProjector';
  /** Number of pairs to keep, those with the smallest distance; 0 keeps all. Default: 20. */
  readonly topGamma?: number;
  /** Keeps only pairs of mutual nearest neighbours. Default false. */
  readonly mutual?: boolean;
  /** Lowe's ratio test, (0, 1]. Default: none. */
  readonly ratio?: number;
  /** Minimum cosine similarity, -1 to 1. Default: none. */
  readonly minSimilarity?: number;
  /**
   * The distance that is compared: L2 of the vectors, of the vectors scaled to length 1 (`cosine`), or of those less the mean of
   * both maps, scaled to length 1 (`centredCosine`). Default: `l2`.
   */
  readonly distance?: keyof typeof matchDistances;
}

/** Pairs cells by the distance of their centres in the original, of which both images are crops. */
export interface MatchByLocation {
  readonly by: 'location';
  /** Number of pairs to keep, those with the smallest distance; 0 keeps all. Default: 20. */
  readonly topGamma?: number;
  /** Maximum distance of the centres in pixels of the original. Default: none. */
  readonly maxDistance?: number;
}

/** Options of fitting a homography to the pairs (RANSAC). */
export interface HomographyOptions {
  /** Maximum distance of an inlier in pixels of b's original. Default: the distance of adjacent cells of b. */
  readonly threshold?: number;
  /** Maximum number of samples of 4 pairs, 1 to 100,000. Default 20,000. */
  readonly maxIterations?: number;
  /** Sampling stops at this probability of a sample without outliers, above 0 and below 1. Default 0.999. */
  readonly confidence?: number;
  /** Seed of the sampling: the same seed and pairs give the same result. Default 0. */
  readonly seed?: number;
}

/** What to compute in addition to the pairs. */
export interface WithHomography {
  /** Also fits a homography to the kept pairs: keep more than the default 20. Default false. */
  readonly homography?: boolean | HomographyOptions;
}

export type MatchOptions = RequestOptions & WithHomography & (MatchByFeatures | MatchByLocation);

export interface StoreOptions extends RequestOptions {
  /** Space of the vectors. Default: as in `match`. */
  readonly space?: 'backbone' | 'localProjector';
  /** How long the features are stored after their last use, in seconds. Default: the server's maximum. */
  readonly ttlSeconds?: number;
}

/** The message of an upsampling. @throws VicreglError `INVALID_ARGUMENT` as `uint32`. */
export function upsampleMessage(to: Upsample): UpsampleMessage {
  if (typeof to === 'number') return { factor: uint32('upsample', to) };
  return { size: uint32Fields('upsample', { rows: to.rows, columns: to.columns }) };
}

/** The message of tiles. @throws VicreglError `INVALID_ARGUMENT` as `uint32`. */
export function tilesMessage({ width = 0, height = 0, overlap }: Tiles): TilesMessage {
  return {
    ...uint32Fields('tiles', { width, height }),
    ...(overlap !== undefined && { overlap: uint32('tiles.overlap', overlap) }),
  };
}

/** The message of the homography options. @throws VicreglError `INVALID_ARGUMENT` as `uint32` and `bool`. */
export function homographyMessage({ homography = false }: WithHomography): { homography?: HomographyFit } {
  const options: HomographyOptions | false =
    typeof homography === 'object' ? homography : bool('homography', homography) && {};
  if (options === false) return {};
  const { threshold, maxIterations, confidence, seed } = options;
  return {
    homography: {
      ...(threshold !== undefined && { threshold }),
      ...(maxIterations !== undefined && { maxIterations: uint32('homography.maxIterations', maxIterations) }),
      ...(confidence !== undefined && { confidence }),
      ...(seed !== undefined && { seed: uint32('homography.seed', seed) }),
    },
  };
}

const matchKinds = { features: 'byFeatures', location: 'byLocation' } as const;

/**
 * The message of the matching options.
 * @throws VicreglError `INVALID_ARGUMENT` for a topGamma that is not a uint32, and as `protocolName` and `bool`.
 */
export function matchingMessage(
  options: MatchOptions,
): { byFeatures: FeatureMatching } | { byLocation: LocationMatching } {
  const { topGamma } = options;
  if (topGamma !== undefined) uint32('topGamma', topGamma);
  if (options.by !== undefined) protocolName('by', matchKinds, options.by);
  if (options.by === 'location') {
    const { maxDistance } = options;
    return {
      byLocation: { ...(topGamma !== undefined && { topGamma }), ...(maxDistance !== undefined && { maxDistance }) },
    };
  }
  const { space, mutual = false, ratio, minSimilarity, distance } = options;
  return {
    byFeatures: {
      mutual: bool('mutual', mutual),
      ...(space !== undefined && { space: protocolName('space', localSpaces, space) }),
      ...(topGamma !== undefined && { topGamma }),
      ...(ratio !== undefined && { ratio }),
      ...(minSimilarity !== undefined && { minSimilarity }),
      ...(distance !== undefined && { distance: protocolName('distance', matchDistances, distance) }),
    },
  };
}
