import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { DataError } from '../../data/dataError.js';
import { byCodeUnits, isHidden, isImageName } from '../../data/imageNames.js';
import { fileProblem } from '../../files/fileProblem.js';
import { IGNORED } from '../../heads/pixelCrossEntropy.js';
import { readClassFile } from './classFile.js';
import {
  ade20kClasses,
  CAMVID_VOID,
  CITYSCAPES_LAST_ID,
  camvidClasses,
  cityscapesClasses,
  type SegmentationClass,
  vocClasses,
} from './classTables.js';
import { directLabels, type LabelTable } from './labelMask.js';

/** Where the images and masks of published data sets lie (docs/evaluation.md, Segmentation). */

export const LAYOUTS = ['folder', 'voc', 'cityscapes', 'ade20k', 'camvid'] as const;
export type Layout = (typeof LAYOUTS)[number];

/** An image and its mask. */
export interface SegmentationPair {
  /** Path of the image from the folder of the data, with / between the parts. */
  readonly name: string;
  readonly image: string;
  readonly mask: string;
  /** Labels of the mask's numbers, where they differ from those of the data set (Cityscapes has two kinds of files). */
  readonly table?: LabelTable;
}

/** A data set on disk. */
export interface SegmentationFiles {
  readonly layout: Layout;
  /** Undefined where the masks say how many there are: one more than the highest label. */
  readonly classes: readonly SegmentationClass[] | undefined;
  readonly table: LabelTable | undefined;
  readonly train: readonly SegmentationPair[];
  readonly test: readonly SegmentationPair[];
  /** How the two parts were chosen, in a few words. */
  readonly split: string;
}

export interface LayoutOptions {
  readonly layout: Layout | 'auto';
  /** Names of the parts, in data sets that have several. */
  readonly trainSplit?: string;
  readonly testSplit?: string;
  /** A second plain folder, to be tested on. */
  readonly test?: string;
}

const isFolder = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
const isFile = async (path: string): Promise<boolean> => (await stat(path).catch(() => undefined))?.isFile() ?? false;

/** Folders by which a layout is recognised, from the folder of the data. */
const marks: Readonly<Record<Layout, readonly string[]>> = {
  cityscapes: ['leftImg8bit', 'gtFine'],
  voc: ['JPEGImages', 'ImageSets/Segmentation'],
  ade20k: ['images/training', 'annotations/training'],
  camvid: ['train/images', 'train/labels'],
  folder: ['images', 'masks'],
};

/** Folders in which published archives keep their data. */
const inner: Readonly<Partial<Record<Layout, readonly string[]>>> = {
  voc: ['VOCdevkit/VOC2012', 'VOC2012'],
  ade20k: ['ADEChallengeData2016'],
};

/** Where a layout's folders lie: in `dir`, or in a folder that its archive has; undefined where they do not. */
async function rootOf(dir: string, layout: Layout): Promise<string | undefined> {
  for (const root of [dir, ...(inner[layout] ?? []).map((name) => join(dir, name))]) {
    const found = await Promise.all(marks[layout].map((name) => isFolder(join(root, name))));
    if (found.every(Boolean)) return root;
  }
  return undefined;
}

async function recognise(
  dir: string,
  asked: Layout | 'auto',
): Promise<{ readonly layout: Layout; readonly root: string }> {
  if (!(await isFolder(dir))) throw new DataError('not_found', `--data: ${dir} is not a folder, or cannot be read`);
  const text = (layout: Layout) => `${layout}: ${marks[layout].join(', ')}`;
  const tried = asked === 'auto' ? (Object.keys(marks) as Layout[]) : [asked];
  for (const layout of tried) {
    const root = await rootOf(dir, layout);
    if (root !== undefined) return { layout, root };
  }
  const held = (await readdir(dir)).filter((name) => !isHidden(name)).sort(byCodeUnits);
  const holds = held.length === 0 ? 'nothing' : `${held.slice(0, 8).join(', ')}${held.length > 8 ? ', ...' : ''}`;
  throw new DataError(
    'not_found',
    `--data: ${dir} holds ${holds}, which is ${asked === 'auto' ? 'none of the layouts' : `not the layout ${asked}`}; its folders are, by layout, ${tried.map(text).join('; ')}`,
  );
}

/** Files below a folder with one of some endings, as paths from it, sorted. */
async function filesBelow(root: string, accepts: (name: string) => boolean): Promise<string[]> {
  const names = await readdir(root, { recursive: true }).catch((cause: unknown) => {
    throw new DataError('not_found', `${root} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  return names
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => !isHidden(name) && accepts(name))
    .sort(byCodeUnits);
}

const stem = (name: string): string => name.slice(0, name.length - extname(name).length);

/** The names by what identifies a pair. @throws DataError `malformed` for two files of one key. */
function byKey(folder: string, names: readonly string[], keyOf: (name: string) => string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of names) {
    const key = keyOf(name);
    const other = found.get(key);
    if (other !== undefined) {
      throw new DataError(
        'malformed',
        `${folder} has ${other} and ${name}, which belong to one pair; remove one of them`,
      );
    }
    found.set(key, name);
  }
  return found;
}

/** What is paired. */
interface Halves {
  readonly root: string;
  /** Folders from the root. */
  readonly images: string;
  readonly masks: string;
  readonly imageKey?: (name: string) => string;
  readonly maskKey?: (name: string) => string;
  readonly isImage?: (name: string) => boolean;
  readonly isMask?: (name: string) => boolean;
}

const isPng = (name: string): boolean => /\.png$/i.test(name);

/**
 * Pairs the images of a folder with the masks of another by their names.
 * @throws DataError `malformed` for an image without a mask or a mask without an image, `no_images` for none at all.
 */
async function paired({
  root,
  images,
  masks,
  imageKey = stem,
  maskKey = stem,
  isImage = isImageName,
  isMask = isPng,
}: Halves): Promise<SegmentationPair[]> {
  const [imageDir, maskDir] = [join(root, images), join(root, masks)];
  const [imageNames, maskNames] = [await filesBelow(imageDir, isImage), await filesBelow(maskDir, isMask)];
  if (imageNames.length === 0) throw new DataError('no_images', `${imageDir} holds no images`);
  const byImage = byKey(imageDir, imageNames, imageKey);
  const byMask = byKey(maskDir, maskNames, maskKey);
  const alone = imageNames.filter((name) => !byMask.has(imageKey(name)));
  if (alone.length > 0) {
    throw new DataError(
      'malformed',
      `${join(imageDir, alone[0]!)} has no mask in ${maskDir}${others(alone)}; add a PNG file of its name, or remove the image`,
    );
  }
  const left = maskNames.filter((name) => !byImage.has(maskKey(name)));
  if (left.length > 0) {
    throw new DataError(
      'malformed',
      `${join(maskDir, left[0]!)} has no image in ${imageDir}${others(left)}; add the image of its name, or remove the mask`,
    );
  }
  return imageNames.map((name) => ({
    name: `${images}/${name}`,
    image: join(imageDir, name),
    mask: join(maskDir, byMask.get(imageKey(name))!),
  }));
}

const others = (names: readonly string[]): string =>
  names.length > 1 ? ` (and so have ${names.length - 1} others)` : '';

/** @throws DataError `bad_option` for a part that the data set does not have. */
async function requirePart(flag: string, name: string, folder: string): Promise<void> {
  if (await isFolder(join(folder, name))) return;
  const found = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  throw new DataError(
    'bad_option',
    `${flag}: there is no ${join(folder, name)}; choose from ${found.sort(byCodeUnits).join(', ')}`,
  );
}

/** Share of a plain folder that is tested on: one of this number. */
const TEST_PART = 5;

/** Whether an image of a plain folder is tested on: by a hash of its name without extension, the same everywhere. */
export function isTestName(name: string): boolean {
  return (
    createHash('sha256')
      .update(stem(basename(name)))
      .digest()
      .readUInt32BE(0) %
      TEST_PART ===
    0
  );
}

async function plainFolder(root: string, test: string | undefined): Promise<Omit<SegmentationFiles, 'layout'>> {
  const halves = { images: 'images', masks: 'masks' };
  const pairs = await paired({ root, ...halves });
  const classes = await readClassFile(root);
  const about = { classes, table: classes && directLabels(classes.length) };
  if (test !== undefined) {
    if (!(await isFolder(join(test, 'images'))) || !(await isFolder(join(test, 'masks')))) {
      throw new DataError('not_found', `--test: ${test} has no folders images and masks`);
    }
    const own = await readClassFile(test);
    if (
      own !== undefined &&
      classes !== undefined &&
      own.map(({ name }) => name).join('\n') !== classes.map(({ name }) => name).join('\n')
    ) {
      throw new DataError(
        'malformed',
        `--test: the classes of ${test} (${own.map(({ name }) => name).join(', ')}) are not those of ${root} (${classes.map(({ name }) => name).join(', ')})`,
      );
    }
    return { ...about, train: pairs, test: await paired({ root: test, ...halves }), split: '--data and --test' };
  }
  const tested = pairs.filter(({ name }) => isTestName(name));
  return {
    ...about,
    train: pairs.filter(({ name }) => !isTestName(name)),
    test: tested,
    split: `one of ${TEST_PART} images tested, by a hash of the name`,
  };
}

/** Lists of VOC: an id per line, or the paths of image and mask. */
async function vocList(root: string, flag: string, name: string): Promise<string[]> {
  const folder = join(root, 'ImageSets/Segmentation');
  const path = join(folder, `${name}.txt`);
  const text = await readFile(path, 'utf8').catch(async (cause: unknown) => {
    const found = (await readdir(folder)).filter((file) => file.endsWith('.txt')).map(stem);
    throw new DataError(
      'bad_option',
      `${flag}: ${path} cannot be read: ${fileProblem(cause)}; choose from ${found.sort(byCodeUnits).join(', ')}`,
      { cause },
    );
  });
  const ids = text.split('\n').flatMap((line) => {
    const [first] = line.trim().split(/\s+/);
    return first ? [stem(basename(first) + (extname(first) === '' ? '.jpg' : ''))] : [];
  });
  if (ids.length === 0) throw new DataError('no_images', `${path} lists no images`);
  const repeated = ids.find((id, i) => ids.indexOf(id) !== i);
  if (repeated !== undefined)
    throw new DataError('malformed', `${path} lists ${repeated} twice; remove one of the lines`);
  return ids;
}

async function voc(
  root: string,
  { trainSplit, testSplit = 'val' }: LayoutOptions,
): Promise<Omit<SegmentationFiles, 'layout'>> {
  const augmented =
    (await isFolder(join(root, 'SegmentationClassAug'))) &&
    (await isFile(join(root, 'ImageSets/Segmentation/trainaug.txt')));
  const train = trainSplit ?? (augmented ? 'trainaug' : 'train');
  const pairsOf = async (flag: string, split: string): Promise<SegmentationPair[]> => {
    const pairs: SegmentationPair[] = [];
    for (const id of await vocList(root, flag, split)) {
      const name = `JPEGImages/${id}.jpg`;
      const image = join(root, name);
      if (!(await isFile(image))) throw new DataError('malformed', `${image} is missing, and ${split}.txt lists it`);
      const masks = [`SegmentationClass/${id}.png`, `SegmentationClassAug/${id}.png`].map((mask) => join(root, mask));
      const mask = (await isFile(masks[0]!)) ? masks[0] : (await isFile(masks[1]!)) ? masks[1] : undefined;
      if (mask === undefined)
        throw new DataError(
          'malformed',
          `${image} has no mask: neither ${masks.join(' nor ')} exists, and ${split}.txt lists it`,
        );
      pairs.push({ name, image, mask });
    }
    return pairs;
  };
  return {
    classes: vocClasses,
    table: directLabels(vocClasses.length),
    train: await pairsOf('--train-split', train),
    test: await pairsOf('--test-split', testSplit),
    split: `${train} and ${testSplit}`,
  };
}

/** Labels of the two kinds of files: `_labelIds` and `_labelTrainIds`. */
const cityscapesTables = {
  labelIds: Array.from({ length: 256 }, (_, id) => {
    const label = cityscapesClasses.findIndex((each) => each.id === id);
    return label >= 0 ? label : id <= CITYSCAPES_LAST_ID || id === IGNORED ? IGNORED : undefined;
  }),
  labelTrainIds: directLabels(cityscapesClasses.length),
} satisfies Readonly<Record<string, LabelTable>>;

async function cityscapes(
  root: string,
  { trainSplit = 'train', testSplit = 'val' }: LayoutOptions,
): Promise<Omit<SegmentationFiles, 'layout'>> {
  const pairsOf = async (flag: string, split: string): Promise<SegmentationPair[]> => {
    for (const folder of marks.cityscapes) await requirePart(flag, split, join(root, folder));
    const masks = `gtFine/${split}`;
    const found = await filesBelow(join(root, masks), (name) => /_gtFine_label(TrainIds|Ids)\.png$/.test(name));
    const kind = found.some((name) => name.endsWith('_labelTrainIds.png')) ? 'labelTrainIds' : 'labelIds';
    const pairs = await paired({
      root,
      images: `leftImg8bit/${split}`,
      masks,
      isImage: (name) => /_leftImg8bit\.(png|jpg)$/.test(name),
      isMask: (name) => name.endsWith(`_gtFine_${kind}.png`),
      imageKey: (name) => name.replace(/_leftImg8bit\.(png|jpg)$/, ''),
      maskKey: (name) => name.replace(`_gtFine_${kind}.png`, ''),
    });
    return pairs.map((pair) => ({ ...pair, table: cityscapesTables[kind] }));
  };
  return {
    classes: cityscapesClasses.map(({ name, colour }) => ({ name, colour })),
    table: cityscapesTables.labelTrainIds,
    train: await pairsOf('--train-split', trainSplit),
    test: await pairsOf('--test-split', testSplit),
    split: `${trainSplit} and ${testSplit}`,
  };
}

async function ade20k(
  root: string,
  { trainSplit = 'training', testSplit = 'validation' }: LayoutOptions,
): Promise<Omit<SegmentationFiles, 'layout'>> {
  const pairsOf = async (flag: string, split: string): Promise<SegmentationPair[]> => {
    for (const folder of ['images', 'annotations']) await requirePart(flag, split, join(root, folder));
    return paired({ root, images: `images/${split}`, masks: `annotations/${split}` });
  };
  const count = ade20kClasses.length;
  return {
    classes: ade20kClasses,
    table: Array.from({ length: 256 }, (_, value) =>
      value === 0 || value === IGNORED ? IGNORED : value <= count ? value - 1 : undefined,
    ),
    train: await pairsOf('--train-split', trainSplit),
    test: await pairsOf('--test-split', testSplit),
    split: `${trainSplit} and ${testSplit}`,
  };
}

async function camvid(
  root: string,
  { trainSplit = 'train', testSplit = 'test' }: LayoutOptions,
): Promise<Omit<SegmentationFiles, 'layout'>> {
  const pairsOf = async (flag: string, split: string): Promise<SegmentationPair[]> => {
    await requirePart(flag, split, root);
    return paired({ root, images: `${split}/images`, masks: `${split}/labels` });
  };
  return {
    classes: camvidClasses,
    table: directLabels(camvidClasses.length, [CAMVID_VOID]),
    train: await pairsOf('--train-split', trainSplit),
    test: await pairsOf('--test-split', testSplit),
    split: `${trainSplit} and ${testSplit}`,
  };
}

/**
 * Finds the images and masks of a data set. No file is opened yet.
 * @throws DataError `not_found` for a folder of no known layout, `bad_option` for a part that it does not have or flags that do
 *   not go with its layout, `malformed` for an image without a mask or the reverse, `no_images`.
 */
export async function findSegmentationFiles(dir: string, options: LayoutOptions): Promise<SegmentationFiles> {
  const { layout, root } = await recognise(dir, options.layout);
  const { test, trainSplit, testSplit } = options;
  if (layout === 'folder') {
    const named = trainSplit !== undefined ? '--train-split' : testSplit !== undefined ? '--test-split' : undefined;
    if (named !== undefined)
      throw new DataError(
        'bad_option',
        `${named}: a plain folder has no named parts; use --test, or one folder, which is split by a hash of the names`,
      );
    return { layout, ...(await plainFolder(root, test)) };
  }
  if (test !== undefined)
    throw new DataError(
      'bad_option',
      `--test is for plain folders, and ${dir} has the layout ${layout}; use --test-split`,
    );
  const read = { voc, cityscapes, ade20k, camvid }[layout];
  return { layout, ...(await read(root, options)) };
}
