import { createHash } from 'node:crypto';
import { imagePlace } from '../data/sourceIndex.js';
import { silentProgress, type WorkProgress } from '../progress/work.js';
import type { LabelledImages, LabelledSplit } from './labelledImages.js';

/** Test images that are among the images to learn from: they find themselves, and the accuracy says too much. */
export interface Duplicates {
  /** Test images with a twin. */
  readonly count: number;
  /** How they were found: by their bytes, or, where there are too many images to read them all, by their files. */
  readonly by: 'content' | 'path';
  /** The first of them, and its twin. */
  readonly example?: { readonly test: string; readonly train: string };
}

/** Reading and hashing costs a small part of decoding; beyond so many images the paths have to do. */
const MOST_READ = 100_000;
/** Images read at once. */
const AT_ONCE = 16;

/** What makes an image the same as another; undefined for one that cannot be read. */
type KeyOf = (images: LabelledImages, index: number) => Promise<string | undefined>;

const byContent: KeyOf = async ({ source }, index) => {
  const bytes = await source.read(index).catch(() => undefined);
  return bytes && createHash('sha1').update(bytes).digest('base64');
};

const byPath: KeyOf = async ({ source }, index) => imagePlace(source.index, index);

async function keysOf(images: LabelledImages, keyOf: KeyOf, progress: WorkProgress): Promise<(string | undefined)[]> {
  const keys: (string | undefined)[] = [];
  for (let start = 0; start < images.indices.length; start += AT_ONCE) {
    const some = images.indices.slice(start, start + AT_ONCE);
    keys.push(...(await Promise.all(some.map((index) => keyOf(images, index)))));
    progress.advance(some.length);
  }
  return keys;
}

/** Finds test images that are also learned from. @param mostRead images up to which contents are compared. */
export async function findDuplicates(
  { train, test }: LabelledSplit,
  { mostRead = MOST_READ, progress = silentProgress }: { mostRead?: number; progress?: WorkProgress } = {},
): Promise<Duplicates> {
  progress.begin('looking for duplicates', train.indices.length + test.indices.length, 'images');
  const content = train.indices.length + test.indices.length <= mostRead;
  const keyOf = content ? byContent : byPath;
  const known = new Map<string, number>();
  for (const [i, key] of (await keysOf(train, keyOf, progress)).entries()) {
    if (key !== undefined && !known.has(key)) known.set(key, train.indices[i]!);
  }
  let count = 0;
  let example: Duplicates['example'];
  for (const [i, key] of (await keysOf(test, keyOf, progress)).entries()) {
    const twin = key === undefined ? undefined : known.get(key);
    if (twin === undefined) continue;
    count += 1;
    example ??= { test: test.source.nameOf(test.indices[i]!), train: train.source.nameOf(twin) };
  }
  return { count, by: content ? 'content' : 'path', ...(example && { example }) };
}
