import type { OutputLimits } from '../../../image/resize.js';
import type { ResizePolicy } from '../../../image/types.js';
import type { Manifest } from '../../../models/manifest.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';

/** The resize policy of a request's image; what it leaves out comes from the model (see the proto). */
export function readResizePolicy(
  image: Pick<Image__Output, 'shortestSide' | 'fit' | 'native' | 'crop'>,
  { preprocessing, stride }: Pick<Manifest, 'preprocessing' | 'stride'>,
): ResizePolicy {
  const { resize, crop } = preprocessing;
  if (image.shortestSide) {
    const side = image.shortestSide.resize || resize;
    // A side below the model's crop leaves as much of the image as fits; below one stride the planning refuses it.
    const fitting = Math.max(stride, Math.min(crop, Math.floor(side / stride) * stride));
    return { kind: 'shortestSide', resize: side, crop: image.shortestSide.crop || fitting };
  }
  if (image.fit) return { kind: 'fit', width: image.fit.width, height: image.fit.height };
  if (image.native) return { kind: 'native' };
  // The crops of the training are stretched to a square, and cutting a crop's sides off again would surprise.
  return image.crop ? { kind: 'fit', width: crop, height: crop } : { kind: 'shortestSide', resize, crop };
}

/**
 * The most bytes that the network input of a request's image can have (RGB, 8 bits), as far as is known before it is decoded. The
 * size of `native` is known by then only: it may be as large as the limit.
 */
export function mostInputBytes(
  image: Parameters<typeof readResizePolicy>[0],
  manifest: Parameters<typeof readResizePolicy>[1],
  { maxOutputPixels }: OutputLimits,
): number {
  const policy = readResizePolicy(image, manifest);
  const pixels =
    policy.kind === 'fit'
      ? policy.width * policy.height
      : policy.kind === 'shortestSide'
        ? policy.crop ** 2
        : maxOutputPixels;
  return 3 * Math.min(pixels, maxOutputPixels);
}
