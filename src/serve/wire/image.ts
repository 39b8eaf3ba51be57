import { cropImage } from '../../image/crop.js';
import { decodeImage, rawImage } from '../../image/decode.js';
import { decodeInput } from '../../image/decodeInput.js';
import { composePixelMaps } from '../../image/geometry.js';
import { ImageError } from '../../image/imageError.js';
import { prepareImage } from '../../image/resize.js';
import type { PreparedImage, RgbImage } from '../../image/types.js';
import type { Image__Output } from '../../proto/generated/vicregl/v1/Image.js';
import { inBoundedTurn } from '../boundedTurn.js';
import { type Call, timed } from '../call.js';
import type { ServeContext } from '../context.js';
import { ServeError } from '../serveError.js';
import { readResizePolicy } from './resizePolicy.js';

/** Takes the encoded file out of a request: waiting for the engine can take long, and it is of no more use there. */
function takeEncoded(image: Image__Output): Uint8Array | undefined {
  const { encoded } = image;
  if (encoded) delete image.encoded;
  return encoded;
}

async function readPixels(context: ServeContext, image: Image__Output, field: string): Promise<RgbImage> {
  const encoded = takeEncoded(image);
  if (encoded) return decodeImage(encoded, context.limits.image);
  if (image.raw) return rawImage(image.raw.rgb, image.raw.width, image.raw.height, context.limits.image);
  throw new ServeError(
    'invalid_argument',
    `${field}: no pixels; set ${field}.encoded to the bytes of an image file, or ${field}.raw`,
  );
}

async function prepare(context: ServeContext, image: Image__Output, field: string): Promise<PreparedImage> {
  const { limits, engine } = context;
  const { stride } = engine.manifest;
  const policy = readResizePolicy(image, engine.manifest);
  const { crop } = image;
  if (crop === null) {
    const encoded = takeEncoded(image);
    if (encoded) return decodeInput(encoded, policy, stride, limits);
    return prepareImage(await readPixels(context, image, field), policy, stride, limits.output);
  }
  const original = await readPixels(context, image, field);
  // The crop at its own size is not yet a network input: the limit on decoded pixels has been held above.
  const cut = await cropImage(original, crop, crop, { maxOutputPixels: limits.image.maxPixels });
  const prepared = await prepareImage(cut.image, policy, stride, limits.output);
  return { ...prepared, toOriginal: composePixelMaps(cut.toOriginal, prepared.toOriginal), original: cut.original };
}

/** Names the request's field in an image's error. */
export function inField(field: string, error: unknown): unknown {
  return error instanceof ImageError
    ? new ImageError(error.code, `${field}: ${error.message}`, { cause: error })
    : error;
}

/**
 * Decodes, crops and resizes the image of a request.
 * @param field name of the image in the request, for errors
 * @throws ImageError or ServeError naming the field; ServeError `overloaded` when too many images wait for decoding.
 */
export async function readImage(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  call: Call,
): Promise<PreparedImage> {
  if (image === null) throw new ServeError('invalid_argument', `${field}: missing; every request carries its image`);
  const { decoding, limits } = context;
  const waiting = { name: 'queueImages', value: limits.queueImages, waiting: 'images wait for decoding' };
  return inBoundedTurn(decoding, waiting, call, () =>
    timed(call, 'decode', async () => {
      try {
        return await prepare(context, image, field);
      } catch (error) {
        throw inField(field, error);
      }
    }),
  );
}
