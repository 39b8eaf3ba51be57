import type { OutputName } from '../engine/engine.js';
import { ParameterError } from '../nn/parameters.js';
import type { SubjectSource } from './subjects/subject.js';

/** The space in which cells are compared: the local projector's vectors, or those of the backbone. */
export type LocalSpace = 'projector' | 'backbone';

const OUTPUTS = { projector: 'maps_embedding', backbone: 'maps' } as const satisfies Record<LocalSpace, OutputName>;

/**
 * The output with a subject's vectors of a space.
 * @throws ParameterError for the projector's space of a model without a local projector.
 */
export function outputOfSpace(
  { model, outputs }: Pick<SubjectSource, 'model' | 'outputs'>,
  space: LocalSpace,
): 'maps_embedding' | 'maps' {
  const output = OUTPUTS[space];
  if (!outputs.has(output)) throw new ParameterError(`${model} has no local projector; use --space backbone`);
  return output;
}
