import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from './dataError.js';
import { indexFolder } from './folderIndex.js';
import { byCodeUnits, imageExtensions } from './imageNames.js';
import { indexList, listPattern } from './listIndex.js';
import { defaultShardCache } from './shardCache.js';
import { indexShards, shardPaths } from './shardIndex.js';
import { imageName, type SourceIndex, sharedUint32 } from './sourceIndex.js';
import { openReader, type SourceReader } from './sourceReader.js';
import { defaultUnpackedLimit, indexTar, indexTarGz } from './tarIndex.js';

/**
 * Where labels come from. `folders`: the folders at the top are the classes. `given`: the labels of a list's lines or of
 * a shard's samples. `auto`: `given` for lists and shards, else `folders`.
 */
export type LabelOrigin = 'folders' | 'given' | 'auto';

/** Labels of a source's images. */
interface SourceLabels {
  /** Names of the classes: sorted, by value where all are whole numbers. */
  readonly classes: readonly string[];
  /** Class of each image, as index into `classes`. */
  readonly labels: Uint32Array;
  readonly origin: 'folders' | 'given';
}

/** Images of a folder, an archive, shards or a list, in a fixed order. */
export interface ImageSource extends SourceReader {
  /** Number of images. */
  readonly count: number;
  /**
   * Path of an image from the root of the source, with / between the parts. Folders and archives are ordered by it
   * (UTF-16 units), lists and shards as they stand: an index means the same image on every machine.
   */
  nameOf(index: number): string;
  /** Only where labels were asked for. */
  readonly labelled?: SourceLabels;
  /** Names and places of the images, as plain data for worker threads. */
  readonly index: SourceIndex;
}

export interface SourceOptions {
  /** Default `none`. */
  readonly labels?: 'none' | LabelOrigin;
  /** Most unpacked bytes of a .tar.gz; default 2 GiB. */
  readonly unpackedLimit?: number;
  /** Folder in which the indexes of shards are kept between runs; default `~/.cache/vicregl/shards`. */
  readonly shardCache?: string;
  /** Shards whose indexing took fewer milliseconds are not kept. Default 50. */
  readonly keepShardsFrom?: number;
}

const accepted = 'a folder of images, a .tar, .tar.gz, .csv, .tsv or .jsonl, or shards such as train-{000..099}.tar';

/** A source with the labels that it brings itself. */
interface Indexed {
  readonly index: SourceIndex;
  readonly given: readonly string[] | undefined;
  /** Whether it is of a kind that brings labels. */
  readonly bringsLabels: boolean;
  /** Why `given` is absent, where labels were asked for. */
  readonly unlabelled?: string;
}

/**
 * Opens a source of images:
 * - a folder (searched recursively), a .tar, or a .tar.gz / .tgz; an archive of a folder equals the folder: folders that
 *   hold all of an archive's images are left out of the names
 * - a list: .csv, .tsv or .jsonl (see indexList)
 * - WebDataset shards: a pattern with braces, several paths, or a folder of .tar files without images (see indexShards);
 *   a .tar whose labels are `given` is one shard
 * @throws DataError `not_found`, `no_images`, `no_labels` (an image without a class, or fewer than two classes),
 *   `malformed` or `unsupported` (another kind of file; a .tar.gz over the limit).
 */
export async function openImageSource(
  path: string | readonly string[],
  options: SourceOptions = {},
): Promise<ImageSource> {
  const { labels = 'none' } = options;
  const { index, ...indexed } = await indexOf(path, options);
  const { count } = index;
  if (count === 0) throw new DataError('no_images', `${sourceText(path)} holds no images; ${whereLooked(index)}`);
  const source = { count, nameOf: (item: number) => imageName(index, item), index, ...openReader(index) };
  if (labels === 'none') return source;
  const origin = labels === 'auto' ? (indexed.bringsLabels ? 'given' : 'folders') : labels;
  const names = origin === 'given' ? givenLabels(path, indexed) : folderLabels(path, index);
  return { ...source, labelled: { ...classesOf(path, names, origin), origin } };
}

/** A source's path for a message. */
export function sourceText(path: string | readonly string[]): string {
  return typeof path === 'string' ? path : path.join(', ');
}

function whereLooked({ storage, prefixes }: SourceIndex): string {
  return prefixes === undefined || storage.kind !== 'tar'
    ? `looked in it and its subfolders for names ending in .${imageExtensions.join(', .')}`
    : `looked for samples with a member whose name from its first dot on is .${imageExtensions.join(', .')}`;
}

async function indexOf(path: string | readonly string[], options: SourceOptions): Promise<Indexed> {
  const wanted = options.labels ?? 'none';
  const shards = async (paths: readonly string[]): Promise<Indexed> => {
    const { index, labels } = await indexShards(paths, {
      labelled: wanted === 'given' || wanted === 'auto',
      cache: options.shardCache ?? defaultShardCache(),
      keepFrom: options.keepShardsFrom ?? 50,
    });
    return { index, given: labels, bringsLabels: true };
  };
  if (typeof path !== 'string') return shards(path.flatMap(shardPaths));
  const status = await stat(path).catch((cause: unknown) => {
    if (/\{.*\}/.test(path)) return undefined;
    throw new DataError('not_found', `${path} cannot be opened; give ${accepted}`, { cause });
  });
  if (status === undefined) return shards(shardPaths(path));
  const unlabelled = (index: SourceIndex): Indexed => ({ index, given: undefined, bringsLabels: false });
  if (status.isDirectory()) {
    const index = await indexFolder(path);
    if (index.count > 0) return unlabelled(index);
    const archives = (await readdir(path)).filter((name) => /^[^.].*\.tar$/i.test(name)).sort(byCodeUnits);
    return archives.length > 0 ? shards(archives.map((name) => join(path, name))) : unlabelled(index);
  }
  if (/\.tar$/i.test(path)) return wanted === 'given' ? shards([path]) : unlabelled(indexTar(path));
  if (/\.(tar\.gz|tgz)$/i.test(path)) {
    return unlabelled(await indexTarGz(path, options.unpackedLimit ?? defaultUnpackedLimit));
  }
  if (listPattern.test(path)) {
    const { index, labels, unlabelledLine } = await indexList(path);
    return { index, given: labels, bringsLabels: true, unlabelled: `line ${unlabelledLine} has no label` };
  }
  throw new DataError('unsupported', `${path} cannot be read as a source; give ${accepted}`);
}

function givenLabels(path: string | readonly string[], { given, unlabelled }: Omit<Indexed, 'index'>) {
  if (given !== undefined) return given;
  throw new DataError(
    'no_labels',
    unlabelled === undefined
      ? `labels were asked for as given, but ${sourceText(path)} is neither a list nor shards; set labels to folders, or to none`
      : `labels were asked for, but ${sourceText(path)}, ${unlabelled}; give every line one, or set labels to none`,
  );
}

function folderLabels(path: string | readonly string[], index: SourceIndex): string[] {
  if (index.prefixes !== undefined) {
    throw new DataError(
      'no_labels',
      `labels were asked for by folders, but ${sourceText(path)} are shards; set labels to given (.cls or .json beside each image), or to none`,
    );
  }
  return Array.from({ length: index.count }, (_, item) => {
    const name = imageName(index, item);
    const end = name.indexOf('/');
    if (end > 0) return name.slice(0, end);
    throw new DataError(
      'no_labels',
      `labels were asked for, but ${name} lies at the top of ${sourceText(path)}; put every image into the folder of its class, or set labels to none`,
    );
  });
}

function classesOf(
  path: string | readonly string[],
  names: readonly string[],
  origin: 'folders' | 'given',
): { classes: string[]; labels: Uint32Array } {
  const classes = [...new Set(names)];
  const numbered = classes.every((name) => /^-?\d+$/.test(name));
  // Folders keep the order that runs of older versions have.
  classes.sort(origin === 'given' && numbered ? (a, b) => Number(a) - Number(b) || byCodeUnits(a, b) : byCodeUnits);
  if (classes.length < 2) {
    const what = origin === 'folders' ? `the class folder ${classes[0]}` : `the label ${classes[0]}`;
    const way =
      origin === 'folders'
        ? 'give a folder with one subfolder for each class'
        : 'give a source with at least two different labels';
    throw new DataError(
      'no_labels',
      `labels were asked for, but ${sourceText(path)} has only ${what}; ${way}, or set labels to none`,
    );
  }
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  return { classes, labels: sharedUint32(names.map((name) => labelOf.get(name)!)) };
}
