import type { SentPicture, WantedInput } from '../../../image/decodeInput.js';
import { ImageError } from '../../../image/imageError.js';
import type { PreparedImage } from '../../../image/types.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import { type Call, timed } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import type { ServeContext } from '../context.js';
import { readResizePolicy } from './resizePolicy.js';

/** Takes the encoded file out of a request: waiting for the engine can take long, and it is of no more use there. */
function takeEncoded(image: Image__Output): Uint8Array | undefined {
  const { encoded } = image;
  if (encoded) delete image.encoded;
  return encoded;
}

/** The picture of a request's image. */
function takePicture(image: Image__Output, field: string): SentPicture {
  const encoded = takeEncoded(image);
  if (encoded) return { encoded };
  if (image.raw) {
    const { rgb, width, height } = image.raw;
    return { raw: { width, height, data: rgb } };
  }
  throw new ServeError(
    'invalid_argument',
    `${field}: no pixels; set ${field}.encoded to the bytes of an image file, or ${field}.raw`,
  );
}

/** What is to become of it. */
function readWanted({ limits, engine }: ServeContext, image: Image__Output): WantedInput {
  const { manifest } = engine;
  return {
    policy: readResizePolicy(image, manifest),
    ...(image.crop && { crop: image.crop }),
    stride: manifest.stride,
    limits: { image: limits.image, output: limits.output },
  };
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
  const { decoder, admission } = context;
  return admission.decoding.run(call, () =>
    timed(call, 'decode', async () => {
      try {
        return await decoder.input(takePicture(image, field), readWanted(context, image), call.signal);
      } catch (error) {
        throw inField(field, error);
      }
    }),
  );
}
