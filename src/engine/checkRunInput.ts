import type { Manifest } from '../models/manifest.js';
import { outputShapeProblem } from '../models/modelOutputs.js';
import { elementCount } from '../tensor/tensor.js';
import { EngineError, type EngineOutputs, type ImageBatch, isStageOutput, type OutputName } from './engine.js';

/** Outputs that a model can compute: those of its graphs, and the stages that its manifest lists. */
export function modelOutputs(manifest: Manifest): ReadonlySet<OutputName> {
  const outputs = new Set<OutputName>(['representation', 'maps']);
  if (manifest.graphs.expander !== undefined) outputs.add('embedding');
  if (manifest.graphs.localProjector !== undefined) outputs.add('maps_embedding');
  for (const name of Object.keys(manifest.outputs)) if (isStageOutput(name)) outputs.add(name);
  return outputs;
}

/**
 * Checks the input of a run before it reaches the model.
 * @throws EngineError `invalid_input` for a batch that is not uint8 [B, H, W, 3] with at least one cell, no wanted
 *   output, or one that the model lacks.
 */
export function checkRunInput(manifest: Manifest, batch: ImageBatch, wants: ReadonlySet<OutputName>): void {
  const { dtype, shape, data } = batch;
  const written = `${dtype} [${shape.join(', ')}]`;
  const dimsValid = shape.length === 4 && shape[3] === 3 && shape.every((dim) => Number.isInteger(dim) && dim >= 1);
  if (dtype !== 'uint8' || !dimsValid) {
    throw new EngineError('invalid_input', `image batch is ${written}; it must be uint8 [batch, height, width, 3]`);
  }
  if (data.length !== elementCount(shape)) {
    throw new EngineError(
      'invalid_input',
      `image batch ${written} needs ${elementCount(shape)} bytes, its data has ${data.length}`,
    );
  }
  const { stride } = manifest;
  if (shape[1]! < stride || shape[2]! < stride) {
    throw new EngineError(
      'invalid_input',
      `image batch ${written} is smaller than one cell; height and width must be at least the stride ${stride}`,
    );
  }
  const outputs = modelOutputs(manifest);
  if (wants.size === 0) {
    throw new EngineError('invalid_input', `no output is requested; request one of ${[...outputs].join(', ')}`);
  }
  for (const name of wants) {
    if (outputs.has(name)) continue;
    throw new EngineError(
      'invalid_input',
      `model ${manifest.name} has no output ${name}; it has ${[...outputs].join(', ')}`,
    );
  }
}

/**
 * Checks the outputs of a run: the manifest's dims and strides decide the geometry that callers are told.
 * @throws EngineError `internal` naming an output of another shape.
 */
export function checkRunOutputs(manifest: Manifest, { shape: images }: ImageBatch, outputs: EngineOutputs): void {
  const [batch, height, width] = images as [number, number, number];
  for (const [name, { shape }] of Object.entries(outputs)) {
    const problem = outputShapeProblem(manifest.outputs[name]!, { batch, height, width, shape });
    if (problem === undefined) continue;
    throw new EngineError(
      'internal',
      `model ${manifest.name}@${manifest.version}: output ${name}: ${problem}; vicregl models verify checks the whole folder`,
    );
  }
}
