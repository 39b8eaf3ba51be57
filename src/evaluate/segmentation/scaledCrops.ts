import type { HeadMap } from '../../heads/segmentationHead.js';
import { resample } from '../../image/resample.js';
import type { RgbImage, Size } from '../../image/types.js';
import type { RandomStream } from '../../tensor/random.js';
import type { Subject } from '../subjects/subject.js';
import type { CropSource } from './cropSource.js';
import { type CroppedPart, copyLabels } from './labelMask.js';
import { runMaps } from './runMaps.js';
import { seenSize } from './seenSize.js';
import { type CheckedPair, readPhotograph, type SegmentationData } from './segmentationData.js';
import { copyWindow } from './windows.js';

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
): CroppedPart {
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
          copyLabels(mask, place, crop, target.labels.subarray(b * crop * crop, (b + 1) * crop * crop));
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
