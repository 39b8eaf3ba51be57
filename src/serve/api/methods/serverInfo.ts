import { createRequire } from 'node:module';
import type { Engine, EngineStatus } from '../../../engine/engine.js';
import { enoughPipelinePixels } from '../../../image/resize.js';
import { packageVersion } from '../../../models/packageVersion.js';
import type { GetServerInfoResponse } from '../../../proto/generated/vicregl/v1/GetServerInfoResponse.js';
import type { Limit } from '../../../proto/generated/vicregl/v1/Limit.js';
import type { ServedModel } from '../../../proto/generated/vicregl/v1/ServedModel.js';
import { configKeys } from '../../config/keys.js';
import { runLimits } from '../../config/runLimits.js';
import type { keyGroups } from '../../config/schema.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import { type ModelRegistry, modelLabel } from '../../inference/registry.js';
import type { ServeContext } from '../context.js';
import { modelId } from '../wire/model.js';

type LimitKey = keyof (typeof keyGroups)['Limits'];

/** The value of every limit by its configuration key. The build fails for a new key without a value here. */
function valuesOf(limits: ServeLimits, engine: Pick<Engine, 'provider'>): Readonly<Record<LimitKey, number>> {
  const { image, output, ...others } = limits;
  return {
    ...others,
    ...runLimits(limits, engine),
    decodeSeconds: image.decodeSeconds ?? 0,
    imageBytes: image.imageBytes,
    imagePixels: image.imagePixels,
    inputPixels: output.inputPixels,
    pipelinePixels: output.pipelinePixels ?? enoughPipelinePixels(image.imagePixels, output.inputPixels),
  };
}

/** Units by the suffix of a key's name. */
const units: readonly (readonly [RegExp, string])[] = [
  [/Bytes$/, 'bytes'],
  [/Pixels$/, 'pixels'],
  [/Images$/, 'images'],
  [/(Seconds|Ttl)$/, 'seconds'],
  [/Ms$/, 'milliseconds'],
];

/** The message of all limits (keys of the group Limits). Those of a run depend on the engine's provider. */
export function limitList(limits: ServeLimits, engine: Pick<Engine, 'provider'>): Limit[] {
  const values = valuesOf(limits, engine);
  return configKeys()
    .filter(({ name }) => name in values)
    .map(({ name, description }) => ({
      name: name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value: values[name as LimitKey],
      unit: units.find(([end]) => end.test(name))?.[1] ?? '',
      description,
    }));
}

const states = {
  ready: 'MODEL_STATE_READY',
  degraded: 'MODEL_STATE_READY',
  recovering: 'MODEL_STATE_LOADING',
  down: 'MODEL_STATE_FAILED',
} as const satisfies Readonly<Record<EngineStatus['state'], ServedModel['state']>>;

type Served = Pick<ServeContext, 'engine' | 'limits'>;

function servedModel(context: Served, isDefault: boolean): ServedModel {
  const { engine, limits } = context;
  return {
    model: modelId(context),
    isDefault,
    state: states[engine.status.state],
    provider: engine.provider,
    architecture: engine.manifest.architecture,
    workers: engine.status.workers.filter(({ state }) => state === 'idle' || state === 'busy').length,
    inputSizes: [...(limits.output.inputSizes ?? [])],
  };
}

/** ListModels: the models that requests can name. The default is first, the others follow by name and version. */
export function listModels({ served }: Pick<ModelRegistry, 'served'>): { models: ServedModel[] } {
  const [first, ...others] = served;
  return {
    models: [
      ...(first ? [servedModel(first, true)] : []),
      ...others
        .sort((a, b) => modelLabel(a).localeCompare(modelLabel(b), 'en'))
        .map((context) => servedModel(context, false)),
    ],
  };
}

/** The version from the package.json of onnxruntime-node, since only workers load the runtime. */
function onnxruntimeVersion(): string {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return version;
}

/** GetServerInfo: versions, models and limits. Constant parts are determined once. */
export function createGetServerInfo(
  models: Pick<ModelRegistry, 'served'>,
  limits: ServeLimits,
): () => Promise<GetServerInfoResponse> {
  const start = performance.now();
  const constant = {
    serverVersion: packageVersion(),
    onnxruntimeVersion: onnxruntimeVersion(),
    nodeVersion: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    limits: limitList(limits, models.served[0]!.engine),
  };
  return async () => ({
    ...constant,
    ...listModels(models),
    uptimeSeconds: (performance.now() - start) / 1000,
  });
}
