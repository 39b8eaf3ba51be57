import type { Engine, OutputName } from '../../../engine/engine.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import { ServeError } from '../../call/serveError.js';
import { localOutput } from '../wire/model.js';
import { stagesOf } from '../wire/stages.js';

/** A map that a request asks for. */
export interface AskedMap {
  /** As the request names it: 0 is the map of its space. */
  readonly stage: number;
  readonly output: OutputName;
  readonly channels: number;
  /** Input pixels from one cell to the next. */
  readonly stride: number;
}

/**
 * The maps that a request asks for, in its order.
 * @throws ServeError `missing_head` for a space or a stage that the model lacks, `invalid_argument` for one named twice.
 */
export function askedMaps(
  engine: Engine,
  request: Pick<ExtractFeaturesRequest__Output, 'stages' | 'space'>,
): readonly AskedMap[] {
  const { manifest } = engine;
  const stages = stagesOf(manifest);
  const twice = request.stages.find((stage, i) => request.stages.indexOf(stage) < i);
  if (twice !== undefined) throw new ServeError('invalid_argument', `stages: ${twice} is named twice`);
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
          : 'it has the last map alone: leave the field empty, or export the model with the stages'),
    );
  });
}
