/** The package's public API: a client of the vicregl gRPC service. */

export {
  type Client,
  type ClientOptions,
  createClient,
  type Embedding,
  type Features,
} from './client.js';
export { cellCentre, type Grid } from './grid.js';
export type { CropRectangle, ImageInput, Pixels, PlacedImage, RawPixels, Resize } from './image.js';
export type { CellPoint, Matches, MatchPair } from './matches.js';
export type { ModelId, ModelInfo } from './model.js';
export type {
  EmbedOptions,
  FeatureOptions,
  MatchByFeatures,
  MatchByLocation,
  MatchOptions,
  RequestOptions,
  VectorOptions,
} from './options.js';
export type { ReceivedTensor } from './tensor.js';
export { VicreglError, type VicreglErrorCode } from './vicreglError.js';
