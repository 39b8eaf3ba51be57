import type { FeatureMatching } from '../proto/generated/vicregl/v1/FeatureMatching.js';
import type { LocationMatching } from '../proto/generated/vicregl/v1/LocationMatching.js';
import type { CallOptions } from './transport.js';
import { uint32 } from './uint32.js';

/** Options of every call. */
export interface RequestOptions extends CallOptions {
  /** Name of the model; the server's default where it is left out. */
  readonly model?: string;
}

export interface VectorOptions extends RequestOptions {
  /** Scales vectors to length 1. Default false. */
  readonly l2Normalize?: boolean;
  /** Type on the wire; float16 halves the bytes. Default float32. */
  readonly dtype?: 'float32' | 'float16';
}

export interface EmbedOptions extends VectorOptions {
  /** Where the vector lives. Default backbone. */
  readonly space?: 'backbone' | 'expander';
}

export interface FeatureOptions extends VectorOptions {
  /** Where the vectors live. Default backbone. */
  readonly space?: 'backbone' | 'localProjector';
}

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

export type MatchOptions = RequestOptions & (MatchByFeatures | MatchByLocation);

/** Wire names of the options' values. */
export const dataTypes = { float32: 'DATA_TYPE_FLOAT32', float16: 'DATA_TYPE_FLOAT16' } as const;
export const globalSpaces = { backbone: 'GLOBAL_SPACE_BACKBONE', expander: 'GLOBAL_SPACE_EXPANDER' } as const;
export const localSpaces = { backbone: 'LOCAL_SPACE_BACKBONE', localProjector: 'LOCAL_SPACE_LOCAL_PROJECTOR' } as const;

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
