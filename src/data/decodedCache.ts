import type { RgbImage } from '../image/types.js';

/** Decoded images that are kept between epochs. */
export interface DecodedCache {
  get(index: number): RgbImage | undefined;
  /** Adds an image if it still fits. */
  offer(index: number, image: RgbImage): void;
}

/**
 * A cache without eviction: it fills up and then keeps its images. Each epoch requests each image once, in a new order, so the
 * least recently used image is the most likely to be requested next. Evicting it (LRU) therefore has a lower hit rate than no
 * eviction, whose hit rate is the fraction of images that fit.
 * @param maxBytes maximum bytes of pixels; 0 disables the cache
 */
export function decodedCache(maxBytes: number): DecodedCache {
  const images = new Map<number, RgbImage>();
  let bytes = 0;
  return {
    get: (index) => images.get(index),
    offer: (index, image) => {
      if (images.has(index) || bytes + image.data.byteLength > maxBytes) return;
      images.set(index, image);
      bytes += image.data.byteLength;
    },
  };
}
