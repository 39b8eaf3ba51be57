import { type Detail, fitOf } from './geometry.js';
import type {
  CropRequest,
  EmbedRequest,
  FeatureMapJson,
  FeaturesJson,
  FeaturesRequest,
  ImageRequest,
  ModelJson,
  Space,
} from './messages.js';
import type { Photo, Size } from './photo.js';
import type { Call, Program } from './program.js';

/** What all views of maps share. */
export interface Settings {
  /** name@version; empty for the server's default. */
  readonly model: string;
  readonly space: Space;
  /** A stage of the backbone in place of the space's map; 0: none. */
  readonly stage: number;
  readonly detail: Detail;
}

/** Settings for a model: without a stage or a projector that it does not have. */
export function settingsFor(settings: Settings, { stages = [], dimensions }: ModelJson): Settings {
  const stage = stages.some((each) => each.stage === settings.stage) ? settings.stage : 0;
  const space = dimensions?.localProjector ? settings.space : 'LOCAL_SPACE_BACKBONE';
  return stage === settings.stage && space === settings.space ? settings : { ...settings, stage, space };
}

/** Maps of fine detail are larger than gRPC's usual 4 MiB. */
const MAX_RESPONSE_BYTES = 32 * 1024 * 1024;

const modelField = ({ model }: Settings) => (model === '' ? {} : { model });

/** A crop without a flip that is not set. */
function cropField({ flip, ...rectangle }: CropRequest): CropRequest {
  return flip ? { ...rectangle, flip } : rectangle;
}

/** The image of a request, with its crop and the size of its network input. */
export function imageRequest(
  photo: Photo,
  { detail }: Settings,
  model: ModelJson | undefined,
  crop?: CropRequest,
): ImageRequest {
  const size: Size | undefined = crop ?? photo.size;
  const fit = size && fitOf(size, detail, model ?? {});
  return { encoded: photo, ...(fit && { fit }), ...(crop && { crop: cropField(crop) }) };
}

export function featuresRequest(
  image: ImageRequest,
  settings: Settings,
  more: Pick<FeaturesRequest, 'pca' | 'dtype'> = {},
): Call & { readonly method: 'ExtractFeatures' } {
  const { space, stage } = settings;
  return {
    method: 'ExtractFeatures',
    request: {
      ...modelField(settings),
      image,
      ...(stage > 0 ? { stages: [stage] } : { space }),
      maxResponseBytes: MAX_RESPONSE_BYTES,
      ...more,
    },
  };
}

export function embedProgram(photo: Photo, settings: Settings): Program {
  const request: EmbedRequest = { ...modelField(settings), image: { encoded: photo }, l2Normalize: true };
  return [{ method: 'Embed', request }];
}

/** Keys from an answer of `featuresRequest` to its only map. */
export const mapPath = ({ stage }: Settings): readonly (string | number)[] => (stage > 0 ? ['maps', 0] : []);

/** The only map of an answer. */
export function mapOf(answer: unknown, { stage }: Settings): FeatureMapJson {
  const features = answer as FeaturesJson;
  return stage > 0 ? features.maps![0]! : (features as FeatureMapJson);
}
