import type { FeatureMatching } from '../proto/generated/vicregl/v1/FeatureMatching.js';
import type { HomographyFit } from '../proto/generated/vicregl/v1/HomographyFit.js';
import type { LocationMatching } from '../proto/generated/vicregl/v1/LocationMatching.js';
import type { Pca } from './pca.js';
import type { Box, PoolingRegion } from './regions.js';
import type { CallOptions } from './transport.js';
import { uint32 } from './uint32.js';

/** Options of every call. */
export interface RequestOptions extends CallOptions {
  /** `name` or `name@version` of the model; the server's default where it is left out. */
  readonly model?: string;
}

interface VectorFields {
  /** `name` or `name@version` of the model; the server's default where it is left out. */
  readonly model?: string;
  /** Scales vectors to length 1. Default false. */
  readonly l2Normalize?: boolean;
  /** Type on the wire: float16 halves the bytes, int8 with a scale for each vector quarters them. Default float32. */
  readonly dtype?: 'float32' | 'float16' | 'int8';
}

/** What is asked of one image's global vector. */
export interface EmbedFields extends VectorFields {
  /** Where the vector lives. Default backbone. */
  readonly space?: 'backbone' | 'expander';
}

/** What is asked of one image's local vectors. It comes about in this order: part, pooling, l2Normalize, pca, dtype. */
export interface FeatureFields extends VectorFields {
  /** Where the vectors live. Default backbone. */
  readonly space?: 'backbone' | 'localProjector';
  /** Only the cells that share area with this rectangle of the original, in pixels. */
  readonly region?: Box;
  /** Only these cells, in this order. */
  readonly cells?: readonly { readonly row: number; readonly column: number }[];
  /** The maps to get in place of that of the space: 0 is that one, 1 the map of the first stage, and so on. */
  readonly stages?: readonly number[];
  /** One vector for each region in place of the map. */
  readonly pooling?: readonly PoolingRegion[];
  /** Fewer dimensions. */
  readonly pca?: Pca;
}

export type EmbedOptions = RequestOptions & EmbedFields;

export type FeatureOptions = RequestOptions &
  FeatureFields & {
    /** Receives the answer in blocks: for maps over the limits of one message. Default false. */
    readonly chunked?: boolean;
  };

/** Pairs cells by nearest vector (L2). */
export interface MatchByFeatures {
  readonly by?: 'features';
  /** Default: the local projector where the model has one. */
  readonly space?: 'backbone' | 'localProjector';
  /** Pairs to keep, those with the smallest distance; 0 keeps all. Default 20. */
  readonly topGamma?: number;
  /** Keeps a pair only where each is the other's nearest. Default false. */
  readonly mutual?: boolean;
  /** Lowe's ratio test, (0, 1]. Default: none. */
  readonly ratio?: number;
  /** Least cosine similarity, -1..1. Default: none. */
  readonly minSimilarity?: number;
}

/** Pairs cells by nearest place in one original, of which both images are crops. */
export interface MatchByLocation {
  readonly by: 'location';
  /** Pairs to keep, those with the smallest distance; 0 keeps all. Default 20. */
  readonly topGamma?: number;
  /** Largest distance of the centres in the original's pixels. Default: none. */
  readonly maxDistance?: number;
}

/** How a homography is fitted to the pairs (RANSAC). */
export interface HomographyOptions {
  /** Largest distance in pixels of b's original for a pair to be an inlier. Default: the pitch of b's cells. */
  readonly threshold?: number;
  /** Most samples of 4 pairs, 1 to 100,000. Default 20,000. */
  readonly maxIterations?: number;
  /** Probability of a sample without outliers at which sampling stops, above 0 and below 1. Default 0.999. */
  readonly confidence?: number;
  /** The same seed and pairs give the same answer. Default 0. */
  readonly seed?: number;
}

/** What is computed beside the pairs. */
export interface WithHomography {
  /** Also fits a homography to the pairs that are kept: ask for more than the default 20. Default false. */
  readonly homography?: boolean | HomographyOptions;
}

export type MatchOptions = RequestOptions & WithHomography & (MatchByFeatures | MatchByLocation);

export interface StoreOptions extends RequestOptions {
  /** Where the vectors live. Default: as in `match`. */
  readonly space?: 'backbone' | 'localProjector';
  /** How long they are kept after their last use, in seconds. Default: the server's. */
  readonly ttlSeconds?: number;
}

/** Wire names of the options' values. */
export const dataTypes = {
  float32: 'DATA_TYPE_FLOAT32',
  float16: 'DATA_TYPE_FLOAT16',
  int8: 'DATA_TYPE_INT8',
} as const;
export const globalSpaces = { backbone: 'GLOBAL_SPACE_BACKBONE', expander: 'GLOBAL_SPACE_EXPANDER' } as const;
export const localSpaces = { backbone: 'LOCAL_SPACE_BACKBONE', localProjector: 'LOCAL_SPACE_LOCAL_PROJECTOR' } as const;

/** The homography that is asked for, as the request carries it. @throws VicreglError `INVALID_ARGUMENT` as `uint32`. */
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
 * The kind of matching as the request carries it.
 * @throws VicreglError `INVALID_ARGUMENT` for a topGamma that is no whole number of a uint32.
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
