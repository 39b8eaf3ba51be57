import type { FeatureMatching } from '../proto/generated/vicregl/v1/FeatureMatching.js';
import type { HomographyFit } from '../proto/generated/vicregl/v1/HomographyFit.js';
import type { LocationMatching } from '../proto/generated/vicregl/v1/LocationMatching.js';
import type { Pca } from './pca.js';
import type { Box, PoolingRegion } from './regions.js';
import type { CallOptions } from './transport.js';
import { uint32 } from './uint32.js';

/** Options of every call. */
export interface RequestOptions extends CallOptions {
  /** `name` or `name@version` of the model. Default: the server's default model. */
  readonly model?: string;
}

interface VectorFields {
  /** `name` or `name@version` of the model. Default: the server's default model. */
  readonly model?: string;
  /** Scales vectors to length 1. Default false. */
  readonly l2Normalize?: boolean;
  /** Element type of the response: float16 halves the bytes; int8, with one scale per vector, quarters them. Default: float32. */
  readonly dtype?: 'float32' | 'float16' | 'int8';
}

/** Options of global vectors. */
export interface EmbedFields extends VectorFields {
  /** The space of the vector. Default: backbone. */
  readonly space?: 'backbone' | 'expander';
}

/** Options of local vectors. They are applied in this order: region or cells, pooling, l2Normalize, pca, dtype. */
export interface FeatureFields extends VectorFields {
  /** The space of the vectors. Default: backbone. */
  readonly space?: 'backbone' | 'localProjector';
  /** Only the cells that overlap this rectangle of the original, in pixels. */
  readonly region?: Box;
  /** Only these cells, in this order. */
  readonly cells?: readonly { readonly row: number; readonly column: number }[];
  /** The maps to return instead of only that of the space: 0 is the map of the space, 1 the map of the first stage, and so on. */
  readonly stages?: readonly number[];
  /** One vector per region instead of the map. */
  readonly pooling?: readonly PoolingRegion[];
  /** Reduces the number of dimensions. */
  readonly pca?: Pca;
}

export type EmbedOptions = RequestOptions & EmbedFields;

export type FeatureOptions = RequestOptions &
  FeatureFields & {
    /** Receives the response in chunks, for maps that exceed the limits of one message. Default: false. */
    readonly chunked?: boolean;
  };

/** Pairs cells by nearest vector (L2). */
export interface MatchByFeatures {
  readonly by?: 'features';
  /** Default: the local projector if the model has one, else the backbone. */
  readonly space?: 'backbone' | 'localProjector';
  /** Number of pairs to keep, those with the smallest distance; 0 keeps all. Default: 20. */
  readonly topGamma?: number;
  /** Keeps a pair only if each cell is the nearest of the other. Default: false. */
  readonly mutual?: boolean;
  /** Lowe's ratio test, (0, 1]. Default: none. */
  readonly ratio?: number;
  /** Minimum cosine similarity, -1..1. Default: none. */
  readonly minSimilarity?: number;
}

/** Pairs cells by nearest position in one original, of which both images are crops. */
export interface MatchByLocation {
  readonly by: 'location';
  /** Number of pairs to keep, those with the smallest distance; 0 keeps all. Default: 20. */
  readonly topGamma?: number;
  /** Maximum distance of the centres in pixels of the original. Default: none. */
  readonly maxDistance?: number;
}

/** Options of fitting a homography to the pairs (RANSAC). */
export interface HomographyOptions {
  /** Maximum distance of an inlier in pixels of b's original. Default: the spacing of b's cells. */
  readonly threshold?: number;
  /** Maximum number of samples of 4 pairs, 1 to 100,000. Default: 20,000. */
  readonly maxIterations?: number;
  /** Sampling stops once a sample without outliers has been drawn with this probability, above 0 and below 1. Default: 0.999. */
  readonly confidence?: number;
  /** Random seed: the same seed and pairs give the same result. Default: 0. */
  readonly seed?: number;
}

/** Options of what is computed in addition to the pairs. */
export interface WithHomography {
  /** Also fits a homography to the kept pairs; request more than the default 20. Default: false. */
  readonly homography?: boolean | HomographyOptions;
}

export type MatchOptions = RequestOptions & WithHomography & (MatchByFeatures | MatchByLocation);

export interface StoreOptions extends RequestOptions {
  /** The space of the vectors. Default: as in `match`. */
  readonly space?: 'backbone' | 'localProjector';
  /** How long they are kept after their last use, in seconds. Default: the server's. */
  readonly ttlSeconds?: number;
}

/** Protocol names of the options' values. */
export const dataTypes = {
  float32: 'DATA_TYPE_FLOAT32',
  float16: 'DATA_TYPE_FLOAT16',
  int8: 'DATA_TYPE_INT8',
} as const;
export const globalSpaces = { backbone: 'GLOBAL_SPACE_BACKBONE', expander: 'GLOBAL_SPACE_EXPANDER' } as const;
export const localSpaces = { backbone: 'LOCAL_SPACE_BACKBONE', localProjector: 'LOCAL_SPACE_LOCAL_PROJECTOR' } as const;

/** The homography options as a message. @throws VicreglError `INVALID_ARGUMENT` as `uint32`. */
export function homographyMessage({ homography = false }: WithHomography): { homography?: HomographyFit } {
  if (homography === false) return {};
  const { threshold, maxIterations, confidence, seed } = homography === true ? ({} as HomographyOptions) : homography;
  return {
    homography: {
      ...(threshold !== undefined && { threshold }),
      ...(maxIterations !== undefined && { maxIterations: uint32('homography.maxIterations', maxIterations) }),
      ...(confidence !== undefined && { confidence }),
      ...(seed !== undefined && { seed: uint32('homography.seed', seed) }),
    },
  };
}

/**
 * The matching options as a message.
 * @throws VicreglError `INVALID_ARGUMENT` for a topGamma that is not a uint32.
 */
export function matchingMessage(
  options: MatchOptions,
): { byFeatures: FeatureMatching } | { byLocation: LocationMatching } {
  const { topGamma } = options;
  if (topGamma !== undefined) uint32('topGamma', topGamma);
  if (options.by === 'location') {
    const { maxDistance } = options;
    return {
      byLocation: { ...(topGamma !== undefined && { topGamma }), ...(maxDistance !== undefined && { maxDistance }) },
    };
  }
  const { space, mutual = false, ratio, minSimilarity } = options;
  return {
    byFeatures: {
      mutual,
      ...(space && { space: localSpaces[space] }),
      ...(topGamma !== undefined && { topGamma }),
      ...(ratio !== undefined && { ratio }),
      ...(minSimilarity !== undefined && { minSimilarity }),
    },
  };
}
