import { createHash } from 'node:crypto';
import pLimit from 'p-limit';
import type { ImageSource } from '../data/sources.js';

/** Images whose digests are remembered together: as many as a part of the cache of representations has. */
export const DIGEST_PART = 1024;
/** Images read concurrently. */
const CONCURRENT_READS = 16;

const known = new WeakMap<object, Map<string, Promise<string>>>();

/**
 * A digest of the files of some images, in their order: cached features of images that have changed under the same name are not
 * used again. An image that cannot be read counts as such, and is another one as soon as it can. Digests are computed once for
 * each source and part of `DIGEST_PART` images.
 * @param onRead receives the number of images of each part that has been read
 */
export async function contentDigest(
  source: Pick<ImageSource, 'read'>,
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

function partDigest(source: Pick<ImageSource, 'read'>, indices: readonly number[]): Promise<string> {
  let parts = known.get(source);
  if (parts === undefined) {
    parts = new Map();
    known.set(source, parts);
  }
  const key = createHash('sha256').update(Uint32Array.from(indices)).digest('base64');
  let digest = parts.get(key);
  if (digest === undefined) {
    digest = readPart(source, indices);
    parts.set(key, digest);
  }
  return digest;
}

async function readPart(source: Pick<ImageSource, 'read'>, indices: readonly number[]): Promise<string> {
  const limit = pLimit(CONCURRENT_READS);
  const digests = await Promise.all(
    indices.map((index) =>
      limit(() =>
        source.read(index).then(
          (bytes) => createHash('sha256').update(bytes).digest(),
          () => Buffer.from('unreadable'),
        ),
      ),
    ),
  );
  const all = createHash('sha256');
  for (const digest of digests) all.update(digest);
  return all.digest('hex');
}
