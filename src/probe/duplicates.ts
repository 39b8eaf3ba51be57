import { createHash } from 'node:crypto';
import { imagePlace } from '../data/sourceIndex.js';
import { silentProgress, type WorkProgress } from '../progress/work.js';
import type { LabelledImages, LabelledSplit } from './labelledImages.js';

/** Test images that are also training images. They are their own nearest neighbours, so the accuracy is too high. */
export interface Duplicates {
  /** Number of test images with a copy among the training images. */
  readonly count: number;
  /** How they were found: by their bytes or, if there are too many images to read, by their files. */
  readonly by: 'content' | 'path';
  /** The first of them, and its copy. */
  readonly example?: { readonly test: string; readonly train: string };
}

/** Maximum number of images that are read and hashed, which costs a small part of decoding them. Above it, paths are compared. */
const MAX_READ = 100_000;
/** Images read concurrently. */
const CONCURRENT_READS = 16;

/** A key that equal images share; undefined for an image that cannot be read. */
type KeyOf = (images: LabelledImages, index: number) => Promise<string | undefined>;

const byContent: KeyOf = async ({ source }, index) => {
  const bytes = await source.read(index).catch(() => undefined);
  return bytes && createHash('sha1').update(bytes).digest('base64');
};

const byPath: KeyOf = async ({ source }, index) => imagePlace(source.index, index);

async function keysOf(images: LabelledImages, keyOf: KeyOf, progress: WorkProgress): Promise<(string | undefined)[]> {
  const keys: (string | undefined)[] = [];
  for (let start = 0; start < images.indices.length; start += CONCURRENT_READS) {
    const some = images.indices.slice(start, start + CONCURRENT_READS);
    keys.push(...(await Promise.all(some.map((index) => keyOf(images, index)))));
    progress.advance(some.length);
  }
  return keys;
}

/** Finds test images that are also training images. @param maxRead maximum number of images whose contents are compared. */
export async function findDuplicates(
  { train, test }: LabelledSplit,
  { maxRead = MAX_READ, progress = silentProgress }: { maxRead?: number; progress?: WorkProgress } = {},
): Promise<Duplicates> {
  progress.begin('searching for duplicates', train.indices.length + test.indices.length, 'images');
  const content = train.indices.length + test.indices.length <= maxRead;
  const keyOf = content ? byContent : byPath;
  const known = new Map<string, number>();
  for (const [i, key] of (await keysOf(train, keyOf, progress)).entries()) {
    if (key !== undefined && !known.has(key)) known.set(key, train.indices[i]!);
  }
  let count = 0;
  let example: Duplicates['example'];
  for (const [i, key] of (await keysOf(test, keyOf, progress)).entries()) {
    const copy = key === undefined ? undefined : known.get(key);
    if (copy === undefined) continue;
    count += 1;
    example ??= { test: test.source.nameOf(test.indices[i]!), train: train.source.nameOf(copy) };
  }
  return { count, by: content ? 'content' : 'path', ...(example && { example }) };
}
