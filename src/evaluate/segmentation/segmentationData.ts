import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pLimit from 'p-limit';
import { DataError } from '../../data/dataError.js';
import { sourceFingerprint } from '../../data/sourceFingerprint.js';
import { fileProblem } from '../../files/fileProblem.js';
import { IGNORED } from '../../heads/pixelCrossEntropy.js';
import { checkFile, decodeImage, defaultImageLimits, type ImageLimits } from '../../image/decode.js';
import { ImageError } from '../../image/imageError.js';
import type { RgbImage, Size } from '../../image/types.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { stream } from '../../tensor/random.js';
import { requireImages } from '../requireImages.js';
import { numberedClasses, type SegmentationClass } from './classTables.js';
import { applyLabels, directLabels, type LabelMask, type LabelTable, readMaskNumbers } from './labelMask.js';
import { findSegmentationFiles, type LayoutOptions, type SegmentationFiles, type SegmentationPair } from './layouts.js';

/** An image and its mask that have been read once and fit each other. */
export interface CheckedPair extends SegmentationPair {
  /** In pixels, of both. */
  readonly size: Size;
  /** Of the image's file. */
  readonly imageDigest: string;
  /** Of the mask's file. */
  readonly maskDigest: string;
}

/** Labelled images to train a head on, and to test it on. */
export interface SegmentationData {
  readonly layout: SegmentationFiles['layout'];
  readonly split: string;
  readonly classes: readonly SegmentationClass[];
  readonly train: readonly CheckedPair[];
  readonly test: readonly CheckedPair[];
  /** Warnings about the data. */
  readonly notes: readonly string[];
  /** @throws DataError if the file has changed since it was checked. */
  labels(pair: CheckedPair): Promise<LabelMask>;
}

export interface SegmentationDataOptions extends LayoutOptions {
  /** At most so many images of each part, chosen by the seed. Default: all. */
  readonly trainImages?: number;
  readonly testImages?: number;
  readonly seed: number;
  readonly progress?: WorkProgress;
}

/** Photographs of a data set may be larger than those of strangers' requests. */
const LIMITS: ImageLimits = { ...defaultImageLimits, imageBytes: 256 * 1024 * 1024, imagePixels: 200_000_000 };
/** Files read at once. */
const FILES_AT_ONCE = 4;
/** Decoded masks that are kept in memory, in bytes: those of 3,000 images of 480 x 360 pixels. */
const KEPT_MASK_BYTES = 512 * 1024 * 1024;

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const readData = (path: string): Promise<Buffer> =>
  readFile(path).catch((cause: unknown) => {
    throw new DataError('not_found', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });

const ofImage = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof ImageError) throw new DataError('undecodable', `${path}: ${cause.message}`, { cause });
    throw cause;
  }
};

/** @throws DataError `changed` for a file that is not the one that was checked. */
function requireUnchanged(bytes: Uint8Array, path: string, digest: string): void {
  if (digestOf(bytes) === digest) return;
  throw new DataError('changed', `${path} has changed since it was checked; run the evaluation again`);
}

/**
 * An image as 8-bit RGB.
 * @param pair with a digest, if the file was checked before: its size and features in the cache belong to that
 * @throws DataError that names the file.
 */
export async function readPhotograph({
  image,
  imageDigest,
}: Pick<SegmentationPair, 'image'> & Partial<Pick<CheckedPair, 'imageDigest'>>): Promise<RgbImage> {
  const bytes = await readData(image);
  if (imageDigest !== undefined) requireUnchanged(bytes, image, imageDigest);
  return ofImage(image, () => decodeImage(bytes, LIMITS));
}

/** Some of the pairs, in their order. */
function chosen<T>(pairs: readonly T[], max: number | undefined, seed: number, part: string): readonly T[] {
  if (max === undefined || max >= pairs.length) return pairs;
  const picked = new Set(stream(seed, 'segmentation', part).permutation(pairs.length).subarray(0, max));
  return pairs.filter((_, i) => picked.has(i));
}

/** A pair and the numbers that its mask holds. */
interface ScannedPair extends CheckedPair {
  readonly numbers: ReadonlySet<number>;
}

async function scan(pair: SegmentationPair): Promise<ScannedPair> {
  const bytes = await readData(pair.image);
  const { size } = await ofImage(pair.image, () => checkFile(bytes, LIMITS));
  const maskBytes = await readData(pair.mask);
  const { data } = await readMaskNumbers(maskBytes, pair.mask, size);
  const seen = new Uint8Array(256);
  for (let i = 0; i < data.length; i++) seen[data[i]!] = 1;
  return {
    ...pair,
    size: { width: size.width, height: size.height },
    imageDigest: digestOf(bytes),
    maskDigest: digestOf(maskBytes),
    numbers: new Set([...seen.keys()].filter((value) => seen[value] === 1)),
  };
}

/** The classes of a folder that does not name them: up to the highest label. @throws DataError `malformed` for one label alone. */
export function classesOfNumbers(
  dir: string,
  pairs: readonly Pick<ScannedPair, 'mask' | 'numbers'>[],
): SegmentationClass[] {
  let highest = -1;
  for (const { numbers } of pairs)
    for (const value of numbers) if (value !== IGNORED && value > highest) highest = value;
  if (highest >= 1) return numberedClasses(highest + 1);
  const found =
    highest < 0 ? `only ${IGNORED}, which is ignored` : `the label 0 and nothing else but ${IGNORED}, which is ignored`;
  throw new DataError(
    'malformed',
    `the masks of ${dir}, such as ${pairs[0]!.mask}, have ${found}; labels are 0, 1, 2, ... (save masks of 0 and 255 as 0 and 1)`,
  );
}

/** @throws DataError for a label outside the classes, with its place in the file. */
async function checkLabels(
  pairs: readonly ScannedPair[],
  tableOf: (pair: SegmentationPair) => LabelTable,
  classes: number,
): Promise<void> {
  for (const pair of pairs) {
    const table = tableOf(pair);
    if ([...pair.numbers].every((value) => table[value] !== undefined)) continue;
    applyLabels(await readMaskNumbers(await readData(pair.mask), pair.mask, pair.size), table, pair.mask, classes);
  }
}

/**
 * Finds a data set's images and masks, and reads all of them once, so that what is wrong with one is known before any work is
 * done.
 * @throws DataError that names the file: see `findSegmentationFiles`; `malformed` for a mask of another size than its image, a
 *   label outside the classes, or a class that no training mask has; `undecodable`.
 */
export async function openSegmentationData(dir: string, options: SegmentationDataOptions): Promise<SegmentationData> {
  const { trainImages, testImages, seed, progress = silentProgress } = options;
  const files = await findSegmentationFiles(dir, options);
  const train = chosen(files.train, trainImages, seed, 'train');
  const test = chosen(files.test, testImages, seed, 'test');
  const byHash = files.layout === 'folder' && options.test === undefined;
  if (byHash && (files.train.length === 0 || files.test.length < 2)) {
    const all = files.train.length + files.test.length;
    throw new DataError(
      'no_images',
      `${files.test.length} of the ${all} images of ${dir} fall into the part that is tested on (${files.split}); there must be two, and others to train on: give more images, or a folder to test on with --test`,
    );
  }
  requireImages(test.length);

  progress.begin('checking masks', train.length + test.length, 'images');
  const limit = pLimit(FILES_AT_ONCE);
  const scanAll = (pairs: readonly SegmentationPair[]) =>
    Promise.all(
      pairs.map((pair) =>
        limit(async () => {
          const scanned = await scan(pair);
          progress.advance();
          return scanned;
        }),
      ),
    );
  const [trained, tested] = await Promise.all([scanAll(train), scanAll(test)]).catch((error: unknown) => {
    limit.clearQueue();
    throw error;
  });
  const classes = files.classes ?? classesOfNumbers(dir, [...trained, ...tested]);
  const table = files.table ?? directLabels(classes.length);
  const tableOf = (pair: SegmentationPair): LabelTable => pair.table ?? table;
  await checkLabels([...trained, ...tested], tableOf, classes.length);
  if (tested.every(({ numbers, ...pair }) => [...numbers].every((value) => tableOf(pair)[value] === IGNORED))) {
    throw new DataError(
      'malformed',
      `none of the ${tested.length} test masks, such as ${tested[0]!.mask}, has a pixel of a class: all are ignored, so nothing can be measured; correct the masks, or choose others to test on`,
    );
  }

  const notes: string[] = [];
  const note = missingClasses(trained, tested, classes, tableOf, train.length < files.train.length);
  if (note !== undefined) notes.push(note);
  const known = new Map(trained.map(({ imageDigest, name }) => [imageDigest, name]));
  const twins = tested.filter(({ imageDigest }) => known.has(imageDigest));
  if (twins.length > 0) {
    notes.push(
      `warning: ${twins.length} of ${tested.length} test images are also training images (same content), such as ${twins[0]!.name}: the figures are too high`,
    );
  }

  const kept = new Map<string, LabelMask>();
  let keptBytes = 0;
  return {
    layout: files.layout,
    split: files.split,
    classes,
    train: trained,
    test: tested,
    notes,
    async labels(pair) {
      const held = kept.get(pair.mask);
      if (held !== undefined) return held;
      const bytes = await readData(pair.mask);
      requireUnchanged(bytes, pair.mask, pair.maskDigest);
      const mask = applyLabels(
        await readMaskNumbers(bytes, pair.mask, pair.size),
        tableOf(pair),
        pair.mask,
        classes.length,
      );
      if (keptBytes + mask.data.byteLength <= KEPT_MASK_BYTES) {
        kept.set(pair.mask, mask);
        keptBytes += mask.data.byteLength;
      }
      return mask;
    },
  };
}

/**
 * @returns a warning about classes without training pixels, where only some of the training images are used
 * @throws DataError `malformed` where all of them are used.
 */
function missingClasses(
  trained: readonly ScannedPair[],
  tested: readonly ScannedPair[],
  classes: readonly SegmentationClass[],
  tableOf: (pair: SegmentationPair) => LabelTable,
  partial: boolean,
): string | undefined {
  const labelsOf = (pair: ScannedPair) => new Set([...pair.numbers].map((value) => tableOf(pair)[value]));
  const present = new Set(trained.flatMap((pair) => [...labelsOf(pair)]));
  const missing = classes.map((_, label) => label).filter((label) => !present.has(label));
  const [first] = missing;
  if (first === undefined) return undefined;
  const more = missing.length > 1 ? `, nor ${missing.length - 1} other classes` : '';
  const holder = tested.find((pair) => labelsOf(pair).has(first));
  const text = `no training mask has the class "${classes[first]!.name}" (label ${first})${more}${holder ? `, and the test mask ${holder.mask} has it` : ''}`;
  if (partial) return `warning: ${text}; more training images (--train-images) would have it`;
  throw new DataError(
    'malformed',
    `${text} (${trained.length} masks such as ${trained[0]!.mask}); correct the masks, the list of classes or the split`,
  );
}

/** A digest of the files of images and masks. */
export function segmentationContents(pairs: readonly CheckedPair[]): string {
  return digestOf(Buffer.from(JSON.stringify(pairs.map(({ imageDigest, maskDigest }) => [imageDigest, maskDigest]))));
}

/** Number of images and a digest of their names, order and classes, as the result has it. */
export function segmentationFingerprint(pairs: readonly CheckedPair[]): string {
  return sourceFingerprint({ count: pairs.length, nameOf: (i) => pairs[i]!.name });
}
