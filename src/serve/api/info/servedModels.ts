import type { EngineStatus } from '../../../engine/engine.js';
import type { ServedModel } from '../../../proto/generated/vicregl/v1/ServedModel.js';
import { type ModelRegistry, modelLabel } from '../../inference/registry.js';
import { modelId, type ServeContext } from '../context.js';

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

/** The models that requests can name: the default, then the others by name and version. */
export function servedModels({ served }: Pick<ModelRegistry, 'served'>): ServedModel[] {
  const [first, ...others] = served;
  return [
    ...(first ? [servedModel(first, true)] : []),
    ...others
      .sort((a, b) => modelLabel(a).localeCompare(modelLabel(b), 'en'))
      .map((context) => servedModel(context, false)),
  ];
}
