import { packageVersion } from '../../models/packageVersion.js';
import type { ModelMetadataResponse } from '../../proto/generated/inference/ModelMetadataResponse.js';
import type { RepositoryIndexRequest__Output } from '../../proto/generated/inference/RepositoryIndexRequest.js';
import type { RepositoryIndexResponse } from '../../proto/generated/inference/RepositoryIndexResponse.js';
import type { ServerMetadataResponse } from '../../proto/generated/inference/ServerMetadataResponse.js';
import { invalid } from '../api/wire/fields.js';
import { stagesOf } from '../api/wire/model.js';
import { quoted } from '../call/quoted.js';
import type { ModelRegistry, ServedModel } from '../inference/registry.js';
import type { OutputTensorName } from './inferRequest.js';
import { isReady, type ServingState, versionsOf } from './served.js';
import { inputs } from './tensors.js';

/** Describes the server and its models. */

export function serverMetadata(): ServerMetadataResponse {
  return { name: 'vicregl', version: packageVersion(), extensions: ['model_repository'] };
}

/** The outputs as they are without parameters. */
function outputShapes({ engine }: Pick<ServedModel, 'engine'>): Readonly<Record<OutputTensorName, number[]>> {
  const { representation: channels } = engine.manifest.dims;
  return { embedding: [-1, channels], map: [-1, -1, -1, channels] };
}

/** What clients may want to know of a model, as text. */
function propertiesOf({ engine: { manifest, outputs } }: Pick<ServedModel, 'engine'>): Record<string, string> {
  const { architecture, precision, license, stride, dims } = manifest;
  const channels = {
    'embedding.backbone': dims.representation,
    'embedding.expander': outputs.has('embedding') ? dims.embedding : undefined,
    'map.backbone': dims.representation,
    'map.local_projector': outputs.has('maps_embedding') ? dims.mapsEmbedding : undefined,
    ...Object.fromEntries(stagesOf(manifest).map((stage) => [`map.stage${stage.stage}`, stage.channels])),
  };
  return {
    ...{ architecture, precision, license, stride: String(stride) },
    ...Object.fromEntries(
      Object.entries(channels).flatMap(([name, count]) =>
        count === undefined ? [] : [[`channels.${name}`, String(count)]],
      ),
    ),
  };
}

export function modelMetadata(models: Pick<ModelRegistry, 'served'>, model: ServedModel): ModelMetadataResponse {
  const { name } = model.engine.manifest;
  return {
    name,
    versions: versionsOf(models, name),
    platform: 'onnx_onnxv1',
    inputs: Object.entries(inputs).map(([input, { datatype, shape }]) => ({
      name: input,
      datatype,
      shape: [...shape],
    })),
    outputs: Object.entries(outputShapes(model)).map(([output, shape]) => ({ name: output, datatype: 'FP32', shape })),
    properties: propertiesOf(model),
  };
}

/** @throws ServeError `invalid_argument` for the name of a repository. */
export function repositoryIndex(
  { served }: Pick<ModelRegistry, 'served'>,
  state: ServingState,
  { repositoryName, ready: readyOnly }: RepositoryIndexRequest__Output,
): RepositoryIndexResponse {
  if (repositoryName !== '') {
    throw invalid(
      `repository_name: ${quoted(repositoryName)} is not a repository; leave the field empty for the models of the server`,
    );
  }
  const models = served.map((model) => {
    const { name, version } = model.engine.manifest;
    const ready = isReady(state, model);
    const reason = ready ? '' : (model.engine.status.publicReason ?? 'its last check failed, or the server shuts down');
    return { name, version, state: ready ? 'READY' : 'UNAVAILABLE', reason };
  });
  return { models: readyOnly ? models.filter((model) => model.state === 'READY') : models };
}
