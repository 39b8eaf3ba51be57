import { type DecodedCache, decodedCache } from '../data/decodedCache.js';
import type { SkippedImage } from '../data/sample.js';
import { decodeImage } from '../image/decode.js';
import { prepareImage } from '../image/resize.js';
import type { RgbImage } from '../image/types.js';
import { silentProgress, type WorkProgress } from '../progress/work.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { LabelledVectors } from './knn.js';
import type { LabelledImages } from './labelledImages.js';

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

/** Embeds images batch by batch; the next batch is decoded, on libvips' threads, while one is computed. */
export async function embedImages(
  { source, indices, labels }: LabelledImages,
  represent: Represent,
  { resize, crop, stride, batchSize, cache = decodedCache(0), progress = silentProgress }: EmbedOptions,
): Promise<EmbeddedImages> {
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
  const batchFrom = (start: number) => Promise.all(indices.slice(start, start + batchSize).map(prepare));

  const rows: Float32Array[] = [];
  const known: number[] = [];
  const skipped: SkippedImage[] = [];
  let next = batchFrom(0);
  for (let start = 0; start < indices.length; start += batchSize) {
    const prepared = await next;
    if (start + batchSize < indices.length) next = batchFrom(start + batchSize);
    const images: RgbImage[] = [];
    for (const [i, one] of prepared.entries()) {
      const index = indices[start + i]!;
      if ('reason' in one) {
        skipped.push({ index, name: source.nameOf(index), reason: one.reason });
        continue;
      }
      images.push(one.image);
      known.push(labels[start + i]!);
    }
    if (images.length > 0) rows.push((await represent(stacked(images, crop))).data);
    progress.advance(prepared.length);
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
