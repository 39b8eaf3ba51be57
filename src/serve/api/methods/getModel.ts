import type { GetModelResponse } from '../../../proto/generated/vicregl/v1/GetModelResponse.js';
import type { ServeContext } from '../context.js';
import { modelId, stagesOf } from '../wire/model.js';

/** GetModel: the properties in the manifest, and the execution provider. */
export async function getModel(context: ServeContext): Promise<GetModelResponse> {
  const { manifest, provider, outputs } = context.engine;
  const { dims, preprocessing } = manifest;
  return {
    model: modelId(context),
    architecture: manifest.architecture,
    depths: manifest.depths,
    widths: manifest.widths,
    ...(manifest.alpha !== null && { alpha: manifest.alpha }),
    stride: manifest.stride,
    dimensions: {
      backbone: dims.representation,
      ...(outputs.has('maps_embedding') && dims.mapsEmbedding !== undefined && { localProjector: dims.mapsEmbedding }),
      ...(outputs.has('embedding') && dims.embedding !== undefined && { expander: dims.embedding }),
    },
    preprocessing: {
      resize: preprocessing.resize,
      crop: preprocessing.crop,
      mean: preprocessing.mean,
      std: preprocessing.std,
      interpolation: preprocessing.interpolation,
    },
    precision: manifest.precision,
    license: manifest.license,
    trainingJson: JSON.stringify(manifest.training),
    provider,
    stages: stagesOf(manifest).map(({ stage, channels, stride }) => ({ stage, channels, stride })),
    compute: manifest.compute,
  };
}
