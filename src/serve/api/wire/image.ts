import type { SentPicture, WantedInput } from '../../../image/decodeInput.js';
import type { OutputLimits } from '../../../image/resize.js';
import type { PreparedImage, ResizePolicy, Size } from '../../../image/types.js';
import type { Manifest } from '../../../models/manifest.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import { type Call, timed } from '../../call/call.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { inField, invalid } from './fields.js';

/** Removes the encoded file from a request: it is not needed after decoding, and the wait for the engine can be long. */
function takeEncoded(image: Image__Output): Uint8Array | undefined {
  const { encoded } = image;
  if (encoded) delete image.encoded;
  return encoded;
}

/** The file or the pixels of a request's image. */
function takePicture(image: Image__Output, field: string): SentPicture {
  const encoded = takeEncoded(image);
  if (encoded) return { encoded };
  if (image.raw) {
    const { rgb, width, height } = image.raw;
    return { raw: { width, height, data: rgb } };
  }
  throw invalid(`${field}: no pixels; set ${field}.encoded to the bytes of an image file, or ${field}.raw`);
}

/** How the image becomes a network input, or the image that is cut into tiles. */
function readWanted({ limits, engine }: ServeContext, image: Image__Output, tiled: boolean): WantedInput {
  const { manifest } = engine;
  const { image: ofImage, output } = limits;
  return {
    policy: readResizePolicy(image, manifest, tiled),
    ...(image.crop && { crop: image.crop }),
    stride: manifest.stride,
    limits: { image: ofImage, output: tiled ? tiledLimits(limits) : output },
  };
}

/** The limits of an image that is cut into tiles: the sizes of network inputs apply to each of its tiles. */
function tiledLimits({ image, output }: Pick<ServeLimits, 'image' | 'output'>): OutputLimits {
  return { inputPixels: image.imagePixels, pixelsKey: 'imagePixels', pipelinePixels: output.pipelinePixels };
}

/**
 * The resize policy of a request's image; the model supplies the values that it omits (see the proto).
 * @param tiled whether the image is cut into tiles, so that without a policy it keeps its size
 */
export function readResizePolicy(
  image: Pick<Image__Output, 'shortestSide' | 'fit' | 'native' | 'crop'>,
  { preprocessing, stride }: Pick<Manifest, 'preprocessing' | 'stride'>,
  tiled = false,
): ResizePolicy {
  const { resize, crop } = preprocessing;
  if (image.shortestSide) {
    const side = image.shortestSide.resize || resize;
    // A side below the model's crop keeps as many whole cells as fit. A side below one stride is rejected by planInput.
    const fitting = Math.max(stride, Math.min(crop, Math.floor(side / stride) * stride));
    return { kind: 'shortestSide', resize: side, crop: image.shortestSide.crop || fitting };
  }
  if (image.fit) return { kind: 'fit', width: image.fit.width, height: image.fit.height };
  if (image.native || tiled) return { kind: 'native' };
  // Training stretches crops to a square. Cutting off the sides of a given crop would surprise.
  return image.crop ? { kind: 'fit', width: crop, height: crop } : { kind: 'shortestSide', resize, crop };
}

/**
 * Maximum bytes of the network input of a request's image (RGB, 8 bits), as far as known before it is decoded. The size of `native`
 * is not known before that: it may be as large as the limit.
 */
export function maxInputBytes(
  image: Parameters<typeof readResizePolicy>[0],
  manifest: Parameters<typeof readResizePolicy>[1],
  { inputPixels }: OutputLimits,
): number {
  const size = knownSize(readResizePolicy(image, manifest));
  return 3 * Math.min(size ? size.width * size.height : inputPixels, inputPixels);
}

/** The size of the input of a policy; undefined for `native`, whose size is that of the image. */
export function knownSize(policy: ResizePolicy): Size | undefined {
  if (policy.kind === 'fit') return policy;
  return policy.kind === 'shortestSide' ? { width: policy.crop, height: policy.crop } : undefined;
}

/**
 * Decodes, crops and resizes the image of a request.
 * @param field name of the image in the request, for errors
 * @param tiled whether the image is cut into tiles: then it may have `imagePixels`
 * @throws ImageError or ServeError naming the field; ServeError `overloaded` if too many images wait to be decoded.
 */
export async function readImage(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  call: Call,
  tiled = false,
): Promise<PreparedImage> {
  if (image === null) throw invalid(`${field}: missing; every request needs an image`);
  const { decoder, admission } = context;
  return admission.decoding.run(call, () =>
    timed(call, 'decode', async () => {
      try {
        return await decoder.input(takePicture(image, field), readWanted(context, image, tiled), call.signal);
      } catch (error) {
        throw inField(field, error);
      }
    }),
  );
}
