import type { RgbImage } from '../image/types.js';

/** Decoded images kept between epochs. */
export interface DecodedCache {
  get(index: number): RgbImage | undefined;
  /** Keeps an image where it still fits. */
  offer(index: number, image: RgbImage): void;
}

/**
 * A cache that fills up and then keeps what it has. Every epoch asks for every image once, in a new order: there, the
 * least recently used image is the likeliest to be asked for next, so evicting it (LRU) hits less often than not
 * evicting at all, which hits for exactly the share of images that fit.
 * @param maxBytes of pixels; 0 keeps nothing
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
