import type { EngineOutputs, OutputName } from '../../engine/engine.js';
import type { PreparedImage, RgbImage } from '../../image/types.js';
import type { Image__Output } from '../../proto/generated/vicregl/v1/Image.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { Call } from '../call/call.js';
import type { ServeContext } from './context.js';
import { maxInputBytes, readImage } from './wire/image.js';

/**
 * Reserves a place in the model's queue for an image, then reads the image with `readImage`. A full queue thus rejects it before it
 * is decoded.
 * @throws as `readImage`, and as `BatchQueue.reserve`.
 */
export async function admitImage(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  call: Call,
): Promise<PreparedImage> {
  const { queue, engine, limits } = context;
  if (image !== null) await queue.reserve(call, maxInputBytes(image, engine.manifest, limits.output));
  return readImage(context, image, field, call);
}

/** Runs the network on one image. @returns the outputs in the given order, without the batch dimension: [C] or [h, w, C] each */
export async function inferAll(
  context: ServeContext,
  image: RgbImage,
  outputs: readonly OutputName[],
  call: Call,
): Promise<readonly Tensor<'float32'>[]> {
  return namedOutputs(await context.queue.run(image, new Set(outputs), call), outputs);
}

/** The named outputs of one image, without the batch dimension: [C] or [h, w, C] each. */
export function namedOutputs(computed: EngineOutputs, outputs: readonly OutputName[]): readonly Tensor<'float32'>[] {
  return outputs.map((output) => {
    const found = computed[output];
    if (found === undefined) throw new Error(`the engine did not return the requested output ${output}`);
    return tensor('float32', found.shape.slice(1), found.data);
  });
}

/** As `inferAll`, for one output: [C] or [h, w, C]. */
export async function infer(
  context: ServeContext,
  image: RgbImage,
  output: OutputName,
  call: Call,
): Promise<Tensor<'float32'>> {
  const [found] = await inferAll(context, image, [output], call);
  return found!;
}
