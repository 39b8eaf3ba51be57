import type { Engine, OutputName } from '../../../engine/engine.js';
import type { Manifest } from '../../../models/manifest.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { GlobalSpace__Output } from '../../../proto/generated/vicregl/v1/GlobalSpace.js';
import type { LocalSpace__Output } from '../../../proto/generated/vicregl/v1/LocalSpace.js';
import type { ModelId } from '../../../proto/generated/vicregl/v1/ModelId.js';
import { ServeError } from '../../call/serveError.js';
import { invalid } from './fields.js';

/** The model in messages: its id, its spaces and its stages. */

/** The model's id in responses. */
export function modelId({ engine }: { readonly engine: Engine }): ModelId {
  return { name: engine.manifest.name, version: engine.manifest.version };
}

function checkHead(engine: Engine, output: OutputName, space: string, head: string): OutputName {
  if (engine.outputs.has(output)) return output;
  throw new ServeError(
    'missing_head',
    `space: model "${engine.manifest.name}" has no ${head}, so ${space} is not available; use the backbone's space`,
  );
}

/**
 * The output that holds a global space.
 * @throws ServeError `missing_head`, or `invalid_argument` for a value that this version does not know.
 */
export function globalOutput(engine: Engine, space: GlobalSpace__Output): OutputName {
  switch (space) {
    case 'GLOBAL_SPACE_UNSPECIFIED':
    case 'GLOBAL_SPACE_BACKBONE':
      return 'representation';
    case 'GLOBAL_SPACE_EXPANDER':
      return checkHead(engine, 'embedding', space, 'expander');
    default:
      throw unknownSpace(space);
  }
}

/**
 * The output that holds a local space.
 * @param fallback the space meant by UNSPECIFIED
 * @throws ServeError `missing_head`, or `invalid_argument` for a value that this version does not know.
 */
export function localOutput(
  engine: Engine,
  space: LocalSpace__Output,
  fallback: 'backbone' | 'projector where there is one',
): OutputName {
  switch (space) {
    case 'LOCAL_SPACE_UNSPECIFIED':
      return fallback !== 'backbone' && engine.outputs.has('maps_embedding') ? 'maps_embedding' : 'maps';
    case 'LOCAL_SPACE_BACKBONE':
      return 'maps';
    case 'LOCAL_SPACE_LOCAL_PROJECTOR':
      return checkHead(engine, 'maps_embedding', space, 'local projector');
    default:
      throw unknownSpace(space);
  }
}

function unknownSpace(space: unknown): ServeError {
  return invalid(`space: ${String(space)} is not a value of this version of the API`);
}

/** The map of one stage of a backbone: an output of the backbone's graph. */
interface Stage {
  /** Counted from 1. */
  readonly stage: number;
  readonly output: OutputName;
  readonly channels: number;
  /** Distance of adjacent cells in input pixels. */
  readonly stride: number;
}

/** The stages whose maps the model can return, in ascending order. */
export function stagesOf({ outputs }: Pick<Manifest, 'outputs'>): readonly Stage[] {
  return Object.entries(outputs)
    .flatMap(([name, { shape, stride }]) => {
      const stage = /^stage(\d+)$/.exec(name)?.[1];
      const channels = shape.at(-1);
      if (stage === undefined || stride === undefined || typeof channels !== 'number') return [];
      return [{ stage: Number(stage), output: `stage${Number(stage)}` as const, channels, stride }];
    })
    .sort((a, b) => a.stage - b.stage);
}

/** A map that a request names. */
export interface RequestedMap extends Omit<Stage, 'stage'> {
  /** 0 for the map of the requested space, else the number of the stage. */
  readonly stage: number;
}

/** Backbones have four or five stages: a longer list names no maps of any model. */
const MAX_STAGES = 64;

/**
 * Checks the list as a whole. It may have as many elements as the message has bytes, so its length is compared first.
 * @throws ServeError `invalid_argument` for a list that is too long, and for a repeated stage.
 */
function checkStageList(stages: readonly number[]): void {
  if (stages.length > MAX_STAGES) {
    throw invalid(`stages: ${stages.length} elements, over the limit of ${MAX_STAGES}; list each stage once`);
  }
  const seen = new Set<number>();
  for (const stage of stages) {
    if (seen.has(stage)) throw invalid(`stages: ${stage} is listed twice; list each stage once`);
    seen.add(stage);
  }
}

/**
 * The maps that a request names, in its order.
 * @throws ServeError `missing_head` for a space or a stage that the model does not have, `invalid_argument` for a repeated stage and
 *   for a list that is longer than that of any model.
 */
export function requestedMaps(
  engine: Engine,
  request: Pick<ExtractFeaturesRequest__Output, 'stages' | 'space'>,
): readonly RequestedMap[] {
  const { manifest } = engine;
  const stages = stagesOf(manifest);
  checkStageList(request.stages);
  return (request.stages.length > 0 ? request.stages : [0]).map((stage) => {
    if (stage === 0) {
      const output = localOutput(engine, request.space, 'backbone');
      const { representation, mapsEmbedding = 0 } = manifest.dims;
      return {
        stage,
        output,
        channels: output === 'maps' ? representation : mapsEmbedding,
        stride: manifest.stride,
      };
    }
    const found = stages.find((one) => one.stage === stage);
    if (found) return found;
    const known = stages.map((one) => one.stage);
    throw new ServeError(
      'missing_head',
      `stages: the folder of model "${manifest.name}" has no map of stage ${stage}; ` +
        (known.length > 0
          ? `it has ${known.join(', ')}, and 0 is the map of the space`
          : 'it has only the last map: omit the field, or export the model with the stages'),
    );
  });
}
