import { createHash } from 'node:crypto';
import pLimit from 'p-limit';
import { digestAt, digestsOf, type ReadableSource, watched } from '../data/imageContents.js';

/** Images whose digests are put together: as many as a part of the cache of representations has. */
export const DIGEST_PART = 1024;
/** Images read concurrently. */
const CONCURRENT_READS = 16;

/**
 * A digest of the files of some images, in their order, as they were when they were first read: cached features of images that have
 * changed under the same name are not used again. An image that cannot be read counts as such, and is another one as soon as it can.
 * Images that were read before are not read again.
 * @param onRead receives the number of images of each part of `DIGEST_PART` images
 */
export async function contentDigest(
  source: ReadableSource,
  indices: readonly number[],
  onRead: (count: number) => void = () => undefined,
): Promise<string> {
  const whole = createHash('sha256');
  for (let start = 0; start < indices.length; start += DIGEST_PART) {
    const part = indices.slice(start, start + DIGEST_PART);
    whole.update(await partDigest(source, part));
    onRead(part.length);
  }
  return whole.digest('hex');
}

async function partDigest(source: ReadableSource, indices: readonly number[]): Promise<string> {
  const digests = digestsOf(source);
  const { read } = watched(source);
  const limit = pLimit(CONCURRENT_READS);
  const unread = indices.filter((index) => digestAt(digests, index) === undefined);
  // What cannot be read is noted too.
  await Promise.all(unread.map((index) => limit(() => read(index).catch(() => undefined))));
  const all = createHash('sha256');
  for (const index of indices) all.update(digestAt(digests, index)!);
  return all.digest('hex');
}

/** The digest of all images of a set, whatever their order. */
export const setDigest = (source: ReadableSource, indices: readonly number[]): Promise<string> =>
  contentDigest(
    source,
    indices.toSorted((a, b) => a - b),
  );

/** A digest as results have it. */
export const contentsText = (digest: string): string => `sha256 ${digest.slice(0, 16)}`;
