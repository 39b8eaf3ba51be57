import { IGNORED } from '../../heads/pixelCrossEntropy.js';
import type { HeadMap } from '../../heads/segmentationHead.js';
import { resample } from '../../image/resample.js';
import type { Rectangle, RgbImage, Size } from '../../image/types.js';
import type { RandomStream } from '../../tensor/random.js';
import type { Subject } from '../subjects/subject.js';
import type { CropSource } from './cropSource.js';
import { type LabelMask, nearestPixel } from './labelMask.js';
import { runMaps } from './runMaps.js';
import { seenSize } from './seenSize.js';
import { type CheckedPair, readPhotograph, type SegmentationData } from './segmentationData.js';
import { copyWindow } from './windows.js';

/** A crop of a rescaled photograph. */
interface ScaledPlace {
  /** Size of the rescaled photograph in pixels. */
  readonly size: Size;
  /** What of it is kept: smaller than the crop where the photograph is. */
  readonly keep: Rectangle;
  readonly flip: boolean;
}

export interface ScaledCropsOptions {
  readonly maps: readonly HeadMap[];
  /** Side of the crops in pixels: a multiple of every map's stride. */
  readonly crop: number;
  /** See `seenSize`: the size to which the factor applies. */
  readonly shortest?: number | undefined;
  /** Least and largest factor, both sides alike. */
  readonly scale: readonly [number, number];
  /** Whether half of the crops are mirrored left to right. */
  readonly flip: boolean;
}

function placeOf(
  photograph: Size,
  { crop, shortest, scale: [low, high], flip }: Omit<ScaledCropsOptions, 'maps'>,
  random: RandomStream,
): ScaledPlace {
  const { width, height } = seenSize(photograph, shortest);
  const factor = random.uniform(low, high);
  const size = { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
  const kept = { width: Math.min(crop, size.width), height: Math.min(crop, size.height) };
  const keep = {
    left: random.integer(size.width - kept.width + 1),
    top: random.integer(size.height - kept.height + 1),
    ...kept,
  };
  return { size, keep, flip: flip && random.bernoulli(0.5) };
}

/** Copies the labels of a crop to `target` [crop, crop]: of each pixel that of the nearest one in the mask. */
function copyScaledLabels(mask: LabelMask, { size, keep, flip }: ScaledPlace, crop: number, target: Uint8Array): void {
  target.fill(IGNORED);
  const columns = Int32Array.from({ length: keep.width }, (_, x) =>
    nearestPixel(keep.left + (flip ? keep.width - 1 - x : x), size.width, mask.width),
  );
  for (let row = 0; row < keep.height; row++) {
    const line = nearestPixel(keep.top + row, size.height, mask.height) * mask.width;
    for (let x = 0; x < keep.width; x++) target[row * crop + x] = mask.data[line + columns[x]!]!;
  }
}

/**
 * Crops of photographs that are rescaled at random (bicubic, antialiased), as in the paper's runs: the network runs on each. Crops
 * that reach over the edge are padded, and their padding is ignored.
 */
export function scaledCrops(
  subject: Pick<Subject, 'run'>,
  pairs: readonly CheckedPair[],
  labels: SegmentationData['labels'],
  options: ScaledCropsOptions,
): CropSource {
  const { maps, crop } = options;
  const size = { width: crop, height: crop };
  return {
    async fill(wanted, target) {
      const images = await Promise.all(
        wanted.map(async ({ index, random }, b): Promise<RgbImage> => {
          const pair = pairs[index]!;
          const [photograph, mask] = await Promise.all([readPhotograph(pair), labels(pair)]);
          const place = placeOf(photograph, options, random);
          copyScaledLabels(mask, place, crop, target.labels.subarray(b * crop * crop, (b + 1) * crop * crop));
          return resample(photograph, place);
        }),
      );
      await runMaps(
        subject,
        maps,
        { count: wanted.length, size },
        (i, first, data) => {
          const all = target.features[i]!;
          all.set(data, (all.length / wanted.length) * first);
        },
        (b, pixels) => copyWindow(images[b]!, { left: 0, top: 0, ...images[b]! }, size, false, pixels),
      );
    },
  };
}
