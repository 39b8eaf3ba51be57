import type { OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { Call } from '../call.js';
import type { ServeContext } from '../context.js';

/** One output of one image, without the batch dimension: [C] or [h, w, C]. */
export async function infer(
  context: ServeContext,
  image: RgbImage,
  output: OutputName,
  call: Call,
): Promise<Tensor<'float32'>> {
  const outputs = await context.queue.run(image, new Set([output]), call);
  const found = outputs[output];
  if (found === undefined) throw new Error(`the engine answered without the output ${output} that was asked for`);
  return tensor('float32', found.shape.slice(1), found.data);
}
