import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { type DecodedCache, decodedCache } from '../data/decodedCache.js';
import { isChange } from '../data/imageContents.js';
import type { SkippedImage } from '../data/sample.js';
import { decodeImage } from '../image/decode.js';
import { prepareImage } from '../image/resize.js';
import type { RgbImage } from '../image/types.js';
import { silentProgress, type WorkProgress } from '../progress/work.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { LabelledVectors } from './knn.js';
import type { LabelledImages } from './labelledImages.js';
import { pipelined } from './pipelined.js';

/** Computes representations: uint8 [B, S, S, 3] -> float32 [B, C]. */
export type Represent = (batch: Tensor<'uint8'>) => Promise<Tensor<'float32'>>;

/** How images become network input: shortest side to `resize`, then the central square of `crop` pixels. */
export interface Preparation {
  readonly resize: number;
  readonly crop: number;
  /** Input pixels from one cell to the next. */
  readonly stride: number;
}

export interface EmbedOptions extends Preparation {
  /** Images of one run. */
  readonly batchSize: number;
  /** Batches that are computed concurrently: `represent` is called so often before it has answered. Default 1. */
  readonly runs?: number;
  /** Stores prepared images by their index in the source. Default: none is stored. */
  readonly cache?: DecodedCache;
  /** Advances with every image, including those that cannot be decoded. */
  readonly progress?: WorkProgress;
}

/** Vectors of the images that can be decoded, in their order, and the images that cannot. */
export interface EmbeddedImages extends LabelledVectors {
  readonly skipped: readonly SkippedImage[];
}

/** An image ready for the network, or the reason why there is none. */
type Prepared = { readonly image: RgbImage } | { readonly reason: string };

/** Minimum number of images that are decoded concurrently: the default number of libuv's threads. */
const MIN_DECODED = 4;

/**
 * Embeds images. Images are decoded (on libuv's threads) while up to `runs` batches are computed. The composition of the batches and
 * the order of the results do not depend on `runs`.
 * @throws DataError `changed` for an image of a watched source (src/data/imageContents.ts) that is not the one that was read before.
 */
export async function embedImages(
  { source, indices, labels }: LabelledImages,
  represent: Represent,
  options: EmbedOptions,
): Promise<EmbeddedImages> {
  const { resize, crop, stride, batchSize, runs = 1, cache = decodedCache(0), progress = silentProgress } = options;
  const prepare = async (index: number): Promise<Prepared> => {
    const kept = cache.get(index);
    if (kept !== undefined) return { image: kept };
    try {
      const decoded = await decodeImage(await source.read(index));
      const { image } = await prepareImage(decoded, { kind: 'shortestSide', resize, crop }, stride);
      cache.offer(index, image);
      return { image };
    } catch (error) {
      if (isChange(error)) throw error;
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  };
  // Bounded, since images that are decoded and not yet resized may be large.
  const limit = pLimit(Math.max(MIN_DECODED, availableParallelism()));
  const prepareBatch = (batch: number) =>
    Promise.all(indices.slice(batch * batchSize, (batch + 1) * batchSize).map((index) => limit(prepare, index)));
  const embed = async (prepared: readonly Prepared[]) => {
    const images = prepared.flatMap((one) => ('image' in one ? [one.image] : []));
    const row = images.length > 0 ? (await represent(stacked(images, crop))).data : new Float32Array();
    progress.advance(prepared.length);
    return { row, reasons: prepared.map((one) => ('reason' in one ? one.reason : undefined)) };
  };

  const rows: Float32Array[] = [];
  const known: number[] = [];
  const skipped: SkippedImage[] = [];
  let item = 0;
  const batches = Math.ceil(indices.length / batchSize);
  for await (const { row, reasons } of pipelined(batches, prepareBatch, embed, { runs })) {
    rows.push(row);
    for (const reason of reasons) {
      const index = indices[item]!;
      if (reason === undefined) known.push(labels[item]!);
      else skipped.push({ index, name: source.nameOf(index), reason });
      item++;
    }
  }
  const channels = known.length === 0 ? 0 : rows.reduce((sum, { length }) => sum + length, 0) / known.length;
  const data = new Float32Array(known.length * channels);
  let at = 0;
  for (const row of rows) {
    data.set(row, at);
    at += row.length;
  }
  return { vectors: tensor('float32', [known.length, channels], data), labels: Uint32Array.from(known), skipped };
}

function stacked(images: readonly RgbImage[], crop: number): Tensor<'uint8'> {
  const data = new Uint8Array(images.length * crop * crop * 3);
  for (const [i, image] of images.entries()) data.set(image.data, i * crop * crop * 3);
  return tensor('uint8', [images.length, crop, crop, 3], data);
}
