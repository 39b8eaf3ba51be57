import { decodeImage } from '../image/decode.js';
import type { RgbImage } from '../image/types.js';
import { stream } from '../tensor/random.js';
import { locationGrid } from './crop.js';
import { DataError } from './dataError.js';
import type { DecodedCache } from './decodedCache.js';
import type { Slot } from './epochs.js';
import { type ImageDigests, isChange, readNoted } from './imageContents.js';
import { imageName, type SourceIndex } from './sourceIndex.js';
import type { SourceReader } from './sourceReader.js';
import { drawView, renderView, type ViewSpec } from './view.js';

/** Settings that determine the samples of a run. */
export interface SampleSettings {
  readonly seed: number;
  /** Indices of the images of the source that are used. Default: all. */
  readonly items?: Uint32Array;
  readonly views: readonly ViewSpec[];
  readonly mirrorFlippedGrid: boolean;
  /** What the images have to contain, as far as they were read before. Default: anything. */
  readonly digests?: ImageDigests;
}

/** An image that could not be decoded. */
export interface SkippedImage {
  readonly index: number;
  readonly name: string;
  readonly reason: string;
}

/** The image of a slot. */
interface PickedImage {
  /** It differs from the slot's image if that one is broken. */
  readonly index: number;
  readonly image: RgbImage;
  /** Broken images that were replaced. */
  readonly skipped: readonly SkippedImage[];
}

/** All views of one image. */
interface Sample {
  /** The image that was used. It differs from the slot's image if that one is broken. */
  readonly index: number;
  /** Per view [size, size, 3]. */
  readonly views: readonly Uint8Array[];
  /** Per view [cells * cells, 2]. */
  readonly locations: readonly Float32Array[];
  /** Broken images that were replaced. */
  readonly skipped: readonly SkippedImage[];
}

/** Makes the sample of a slot of an epoch. */
export type Sampler = (epoch: number, slot: Slot) => Promise<Sample>;

/** Maximum number of replacements in a row. If half of the images are broken, the probability of reaching it is 2^-64. */
const MAX_REPLACEMENTS = 64;

/**
 * Creates a function that decodes the image of a slot. A broken image is replaced with another one of the used images. Replacements are
 * drawn from `stream(seed, 'replacement', epoch, position)` until one can be decoded.
 * @param source provides the number of images, and their names for reports
 * @returns the function; it throws DataError `undecodable` if 64 replacements in a row are broken, `changed` for an image that does not
 *   contain what `digests` say
 */
export function createPicker(
  settings: Pick<SampleSettings, 'seed' | 'items' | 'digests'>,
  source: SourceIndex,
  reader: Pick<SourceReader, 'read'>,
  cache: DecodedCache,
): (epoch: number, slot: Slot) => Promise<PickedImage> {
  const broken = new Map<number, string>();
  const { digests } = settings;
  const images = { read: (index: number) => reader.read(index), nameOf: (index: number) => imageName(source, index) };
  const read = (index: number): Promise<Buffer> =>
    digests === undefined ? reader.read(index) : readNoted(images, digests, index);

  const decode = async (index: number): Promise<RgbImage | undefined> => {
    const cached = cache.get(index);
    if (cached !== undefined || broken.has(index)) return cached;
    try {
      const image = await decodeImage(await read(index));
      cache.offer(index, image);
      return image;
    } catch (error) {
      if (isChange(error)) throw error;
      broken.set(index, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  };

  return async (epoch, slot) => {
    let index = slot.index;
    let image = await decode(index);
    const skipped: SkippedImage[] = [];
    if (image === undefined) {
      const replacements = stream(settings.seed, 'replacement', epoch, slot.position);
      while (image === undefined) {
        skipped.push({ index, name: imageName(source, index), reason: broken.get(index)! });
        if (skipped.length > MAX_REPLACEMENTS) {
          throw new DataError(
            'undecodable',
            `${skipped.length} images in a row cannot be decoded; the first is ${imageName(source, slot.index)} ` +
              `(${broken.get(slot.index)}); check the source`,
          );
        }
        index = settings.items?.[replacements.integer(settings.items.length)] ?? replacements.integer(source.count);
        image = await decode(index);
      }
    }
    return { index, image, skipped };
  };
}

/**
 * Creates a function that makes samples. A sample is a pure function of (seed, epoch, position, source): view v draws from
 * `stream(seed, 'sample', epoch, position, v)`.
 * @param source see createPicker
 * @returns the sampler; it throws what createPicker's function throws
 */
export function createSampler(
  settings: SampleSettings,
  source: SourceIndex,
  reader: SourceReader,
  cache: DecodedCache,
): Sampler {
  const pick = createPicker(settings, source, reader, cache);
  return async (epoch, slot) => {
    const { index, image, skipped } = await pick(epoch, slot);
    const views: Uint8Array[] = [];
    const locations: Float32Array[] = [];
    for (const [v, spec] of settings.views.entries()) {
      const random = stream(settings.seed, 'sample', epoch, slot.position, v);
      const drawn = drawView(random, image, spec);
      views.push(await renderView(image, drawn, spec.size));
      locations.push(locationGrid(drawn.crop, spec.cells, spec.cells, { mirrorFlipped: settings.mirrorFlippedGrid }));
    }
    return { index, views, locations, skipped };
  };
}
