import { imageMessage } from '../client/image.js';
import { VicreglError } from '../client/vicreglError.js';

/** Methods that can be measured. */
export const benchMethods = [
  'Embed',
  'ExtractFeatures',
  'Match',
  'EmbedBatch',
  'EmbedStream',
  'ExtractFeaturesStream',
] as const;

export type BenchMethod = (typeof benchMethods)[number];

/** Images per EmbedBatch request. */
const BATCH = 8;

/** Returns the number of images per call of a method. */
export function imagesPerCall(method: BenchMethod): number {
  if (method === 'Match') return 2;
  return method === 'EmbedBatch' ? BATCH : 1;
}

/** Whether the calls of a method are items of one long stream. */
export function isStream(method: BenchMethod): method is 'EmbedStream' | 'ExtractFeaturesStream' {
  return method.endsWith('Stream');
}

/**
 * Creates the `i`-th request of a method; images are used round-robin. For a streaming method, this is the request in an item.
 * @param images encoded files, at least one
 */
export function requestMessage(method: BenchMethod, images: readonly Uint8Array[], i: number): object {
  const image = (k: number) => imageMessage(images[k % images.length]!, 'image');
  const maxResponseBytes = 2 ** 31 - 1;
  switch (method) {
    case 'Embed':
    case 'EmbedStream':
      return { image: image(i) };
    case 'ExtractFeatures':
    case 'ExtractFeaturesStream':
      return { image: image(i), maxResponseBytes };
    case 'Match':
      return { a: { image: image(i) }, b: { image: image(i + 1) }, byFeatures: {} };
    case 'EmbedBatch':
      return { requests: Array.from({ length: BATCH }, (_, k) => ({ image: image(BATCH * i + k) })) };
    default:
      throw new VicreglError('INVALID_ARGUMENT', `--method: ${String(method satisfies never)} cannot be measured`);
  }
}
