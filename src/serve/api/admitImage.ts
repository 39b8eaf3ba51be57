import type { PreparedImage } from '../../image/types.js';
import type { Image__Output } from '../../proto/generated/vicregl/v1/Image.js';
import type { Call } from '../call/call.js';
import type { ServeContext } from './context.js';
import { readImage } from './wire/image.js';

/**
 * `readImage` for an image that goes through the network: it is given a place in the queue first, so that no processor time
 * goes into what a full queue would turn away.
 * @throws as `readImage`, and as `BatchQueue.reserve`.
 */
export async function admitImage(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  call: Call,
): Promise<PreparedImage> {
  if (image !== null) await context.queue.reserve(call);
  return readImage(context, image, field, call);
}
