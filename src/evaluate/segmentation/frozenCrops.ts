import type { HeadMap } from '../../heads/segmentationHead.js';
import type { Size } from '../../image/types.js';
import { float16ToFloat32 } from '../../tensor/float16.js';
import type { RandomStream } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { CropSource } from './cropSource.js';
import { type FrozenMaps, type ImageMaps, viewOf } from './frozenMaps.js';
import { type CroppedPart, copyLabels } from './labelMask.js';
import { seenSize } from './seenSize.js';
import type { CheckedPair, SegmentationData } from './segmentationData.js';

/** A crop: which view of an image, and where in it. */
interface CropPlace {
  readonly view: number;
  /** In pixels of the padded window: multiples of the coarsest stride. */
  readonly top: number;
  readonly left: number;
}

function placeOf({ views, size }: ImageMaps, crop: number, coarsest: number, random: RandomStream): CropPlace {
  const start = (side: number) => random.integer((side - crop) / coarsest + 1) * coarsest;
  return { view: random.integer(views), top: start(size.height), left: start(size.width) };
}

/** Copies a crop of a map [h, w, C] to `target` [side, side, C]. */
function copyMap({ shape, data, dtype }: Tensor, top: number, left: number, side: number, target: Float32Array): void {
  const [, width, channels] = shape as readonly [number, number, number];
  const length = side * channels;
  for (let row = 0; row < side; row++) {
    const from = ((top + row) * width + left) * channels;
    const to = target.subarray(row * length, (row + 1) * length);
    if (dtype === 'float16') float16ToFloat32((data as Uint16Array).subarray(from, from + length), to);
    else to.set((data as Float32Array).subarray(from, from + length));
  }
}

/** What of a photograph of a size a crop shows: its window without the padding. */
function partOf(
  size: Size,
  { windows }: Pick<ImageMaps, 'windows'>,
  { view, top, left }: CropPlace,
  crop: number,
): CroppedPart {
  const window = windows[view % windows.length]!;
  const flip = view >= windows.length;
  const [width, height] = [Math.min(crop, window.width - left), Math.min(crop, window.height - top)];
  // A mirrored window is cropped from its right.
  const start = flip ? window.width - left - width : left;
  return { size, keep: { left: window.left + start, top: window.top + top, width, height }, flip };
}

/**
 * Crops of frozen maps, at multiples of the coarsest stride.
 * @param crop side in pixels: a multiple of every map's stride
 * @param shortest that of the maps
 */
export function frozenCrops(
  pairs: readonly CheckedPair[],
  frozen: FrozenMaps,
  labels: SegmentationData['labels'],
  {
    maps,
    crop,
    shortest,
  }: { readonly maps: readonly HeadMap[]; readonly crop: number; readonly shortest?: number | undefined },
): CropSource {
  const coarsest = Math.max(...maps.map(({ stride }) => stride));
  return {
    async fill(wanted, target) {
      await Promise.all(
        wanted.map(async ({ index, random }, b) => {
          const pair = pairs[index]!;
          const [found, mask] = await Promise.all([frozen.of(index), labels(pair)]);
          const place = placeOf(found, crop, coarsest, random);
          maps.forEach(({ name, stride }, i) => {
            const all = target.features[i]!;
            const length = all.length / wanted.length;
            copyMap(
              ...([viewOf(found, name, place.view), place.top / stride, place.left / stride, crop / stride] as const),
              all.subarray(b * length, (b + 1) * length),
            );
          });
          copyLabels(
            mask,
            partOf(seenSize(pair.size, shortest), found, place, crop),
            crop,
            target.labels.subarray(b * crop * crop, (b + 1) * crop * crop),
          );
        }),
      );
    },
  };
}
