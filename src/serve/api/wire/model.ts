import type { Engine, OutputName } from '../../../engine/engine.js';
import type { GlobalSpace__Output } from '../../../proto/generated/vicregl/v1/GlobalSpace.js';
import type { LocalSpace__Output } from '../../../proto/generated/vicregl/v1/LocalSpace.js';
import { ServeError } from '../../call/serveError.js';

function checkHead(engine: Engine, output: OutputName, space: string, head: string): OutputName {
  if (engine.outputs.has(output)) return output;
  throw new ServeError(
    'missing_head',
    `space: model "${engine.manifest.name}" has no ${head}, so ${space} cannot be had; use the backbone's space`,
  );
}

/**
 * The output that holds a global space.
 * @throws ServeError `missing_head`, or `invalid_argument` for a number that is no space of this version.
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
 * @throws ServeError `missing_head`, or `invalid_argument` for a number that is no space of this version.
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
  return new ServeError('invalid_argument', `space: ${String(space)} is not a value of this version of the API`);
}
