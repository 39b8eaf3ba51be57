import type { Photo } from './photo.js';
import type { Reference } from './reference.js';

/** Messages of proto/vicregl/v1 as proto3 JSON, as far as the page uses them. Bytes are base64; defaults may be absent. */

export interface ModelIdJson {
  readonly name: string;
  readonly version: string;
}

/** How requests name a model. */
export const idOf = ({ name, version }: ModelIdJson): string => `${name}@${version}`;

export interface TensorJson {
  readonly dtype?: 'DATA_TYPE_FLOAT32' | 'DATA_TYPE_FLOAT16' | 'DATA_TYPE_INT8';
  readonly shape?: readonly number[];
  readonly data?: string;
  readonly scales?: string;
}

export interface GridJson {
  readonly rows: number;
  readonly columns: number;
  readonly stride: number;
  readonly cellToPixel: {
    readonly scaleX?: number;
    readonly scaleY?: number;
    readonly offsetX?: number;
    readonly offsetY?: number;
  };
  readonly originalWidth?: number;
  readonly originalHeight?: number;
}

export interface PcaResultJson {
  readonly basis?: unknown;
  readonly explainedVarianceRatio?: readonly number[];
}

export interface FeatureMapJson {
  readonly features: TensorJson;
  readonly grid: GridJson;
  readonly pca?: PcaResultJson;
}

export interface FeaturesJson extends Partial<FeatureMapJson> {
  readonly maps?: readonly FeatureMapJson[];
  readonly model: ModelIdJson;
}

export interface EmbedJson {
  readonly embedding: TensorJson;
  readonly model: ModelIdJson;
}

export interface CellPointJson {
  readonly row?: number;
  readonly column?: number;
  readonly x?: number;
  readonly y?: number;
}

export interface PairJson {
  readonly a: CellPointJson;
  readonly b: CellPointJson;
  readonly distance?: number;
  readonly similarity?: number;
}

export interface HomographyJson {
  readonly matrix?: readonly number[];
  readonly inliers?: readonly boolean[];
  readonly inlierCount?: number;
  readonly inlierRms?: number;
  readonly absence?: string;
}

export interface MatchJson {
  readonly pairs?: readonly PairJson[];
  readonly gridA: GridJson;
  readonly gridB: GridJson;
  readonly homography?: HomographyJson;
  readonly model: ModelIdJson;
}

export interface ServedModelJson {
  readonly model: ModelIdJson;
  readonly isDefault?: boolean;
  readonly state?: string;
  readonly provider?: string;
  readonly architecture?: string;
  readonly workers?: number;
}

export interface ModelsJson {
  readonly models?: readonly ServedModelJson[];
}

export interface ModelJson {
  readonly model: ModelIdJson;
  readonly architecture?: string;
  readonly stride?: number;
  readonly dimensions?: { readonly backbone?: number; readonly localProjector?: number };
  readonly stages?: readonly { readonly stage: number; readonly channels: number; readonly stride: number }[];
}

/** A request's image: the photograph stands for its bytes. */
export interface ImageRequest {
  readonly encoded: Photo;
  readonly fit?: { readonly width: number; readonly height: number };
  readonly native?: Record<string, never>;
  readonly crop?: CropRequest;
}

export interface CropRequest {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly flip?: boolean;
}

export type Space = 'LOCAL_SPACE_BACKBONE' | 'LOCAL_SPACE_LOCAL_PROJECTOR';

export interface EmbedRequest {
  readonly model?: string;
  readonly image: ImageRequest;
  readonly l2Normalize?: boolean;
}

export interface FeaturesRequest {
  readonly model?: string;
  readonly image: ImageRequest;
  readonly space?: Space;
  readonly stages?: readonly number[];
  readonly l2Normalize?: boolean;
  readonly dtype?: 'DATA_TYPE_FLOAT32' | 'DATA_TYPE_FLOAT16' | 'DATA_TYPE_INT8';
  readonly maxResponseBytes?: number;
  readonly pca?: { readonly components?: number; readonly basis?: Reference };
}

export type MatchSide =
  | { readonly image: ImageRequest }
  | { readonly features: { readonly features: Reference; readonly grid: Reference } };

export type MatchDistance = 'MATCH_DISTANCE_L2' | 'MATCH_DISTANCE_COSINE' | 'MATCH_DISTANCE_CENTRED_COSINE';

export interface ByFeatures {
  readonly space?: Space;
  readonly topGamma: number;
  readonly mutual?: boolean;
  readonly ratio?: number;
  readonly minSimilarity?: number;
  readonly distance?: MatchDistance;
}

export interface MatchRequest {
  readonly model?: string;
  readonly a: MatchSide;
  readonly b: MatchSide;
  readonly byFeatures?: ByFeatures;
  readonly byLocation?: { readonly topGamma: number; readonly maxDistance?: number };
  readonly homography?: { readonly threshold?: number };
}
