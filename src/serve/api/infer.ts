import type { OutputName } from '../../engine/engine.js';
import type { PreparedImage, RgbImage } from '../../image/types.js';
import type { Image__Output } from '../../proto/generated/vicregl/v1/Image.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { Call } from '../call/call.js';
import type { ServeContext } from './context.js';
import { mostInputBytes, readImage } from './wire/image.js';

/**
 * `readImage` for an image that goes through the network. It gets a place in the queue first, so that no processor time goes into
 * what a full queue would reject.
 * @throws as `readImage`, and as `BatchQueue.reserve`.
 */
export async function admitImage(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  call: Call,
): Promise<PreparedImage> {
  const { queue, engine, limits } = context;
  if (image !== null) await queue.reserve(call, mostInputBytes(image, engine.manifest, limits.output));
  return readImage(context, image, field, call);
}

/** Several outputs of one image in their order, without the batch dimension: [C] or [h, w, C] each. */
export async function inferAll(
  context: ServeContext,
  image: RgbImage,
  outputs: readonly OutputName[],
  call: Call,
): Promise<readonly Tensor<'float32'>[]> {
  const computed = await context.queue.run(image, new Set(outputs), call);
  return outputs.map((output) => {
    const found = computed[output];
    if (found === undefined) throw new Error(`the engine answered without the output ${output} that was asked for`);
    return tensor('float32', found.shape.slice(1), found.data);
  });
}

/** One output of one image, without the batch dimension: [C] or [h, w, C]. */
export async function infer(
  context: ServeContext,
  image: RgbImage,
  output: OutputName,
  call: Call,
): Promise<Tensor<'float32'>> {
  const [found] = await inferAll(context, image, [output], call);
  return found!;
}
