/** The package's public API: a client of the vicregl gRPC service. */

export type { BalancingOptions } from './balancing.js';
export { type Client, type ClientOptions, createClient } from './client.js';
export type { Embedding } from './embedding.js';
export type { FeatureMap, Features } from './features.js';
export { cellCentre, type Grid } from './grid.js';
export { checkHealth, type HealthOptions, type HealthStatus } from './health.js';
export type { Homography, HomographyAbsence } from './homography.js';
export type { CropRectangle, ImageInput, Pixels, PlacedImage, RawPixels, Resize } from './image.js';
export type { Item, Settled, StreamAnswer, StreamItem } from './items.js';
export type { CellPoint, Matches, MatchPair } from './matches.js';
export type { GivenFeatures, MatchInput } from './matchInput.js';
export type { ModelId, ModelInfo } from './model.js';
export type {
  EmbedFields,
  EmbedOptions,
  FeatureFields,
  FeatureOptions,
  HomographyOptions,
  MatchByFeatures,
  MatchByLocation,
  MatchOptions,
  RequestOptions,
  StoreOptions,
  Tiles,
  Upsample,
  WithHomography,
} from './options.js';
export type { Pca, PcaBasis, PcaResult } from './pca.js';
export type { Phases } from './phases.js';
export type { Bitmap, Box, PoolingRegion, RunLengths } from './regions.js';
export type { SecurityOptions, TlsOptions } from './security.js';
export type { Limit, ServedModel, ServerInfo } from './serverInfo.js';
export type { StoredFeatures } from './storedFeatures.js';
export type { ReceivedTensor, ScaledTensor } from './tensor.js';
export { type MetLimit, VicreglError, type VicreglErrorCode } from './vicreglError.js';
