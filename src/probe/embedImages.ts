import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { type DecodedCache, decodedCache } from '../data/decodedCache.js';
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
  /** Batches that are computed at once; `represent` is called as often before it has answered. Default 1. */
  readonly runs?: number;
  /** Keeps prepared images by their index in the source; none are kept by default. */
  readonly cache?: DecodedCache;
  /** Told of every image, also of those that cannot be decoded. */
  readonly progress?: WorkProgress;
}

/** Vectors of those images that can be decoded, in their order, and those that cannot. */
export interface EmbeddedImages extends LabelledVectors {
  readonly skipped: readonly SkippedImage[];
}

/** An image ready for the network, or why there is none. */
type Prepared = { readonly image: RgbImage } | { readonly reason: string };

/** Images that are decoded at once, at the least: as many as libuv has threads by default. */
const LEAST_DECODED = 4;

/**
 * Embeds images. Decoding (on libuv's threads) goes on while up to `runs` batches are computed; which images share a batch, and
 * the order of the results, do not depend on it.
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
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  };
  // Bounded, since pictures that are decoded and not yet resized may be large.
  const atOnce = pLimit(Math.max(LEAST_DECODED, availableParallelism()));
  const prepareBatch = (batch: number) =>
    Promise.all(indices.slice(batch * batchSize, (batch + 1) * batchSize).map((index) => atOnce(prepare, index)));
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
