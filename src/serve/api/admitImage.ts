import type { PreparedImage } from '../../image/types.js';
import type { Image__Output } from '../../proto/generated/vicregl/v1/Image.js';
import type { Call } from '../call/call.js';
import type { ServeContext } from './context.js';
import { readImage } from './wire/image.js';
import { mostInputBytes } from './wire/resizePolicy.js';

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
