import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { DataError } from './dataError.js';
import { indexFolder } from './folderIndex.js';
import { byCodeUnits, imageExtensions, isHidden } from './imageNames.js';
import { indexList, listPattern } from './listIndex.js';
import { defaultShardCache } from './shardCache.js';
import { indexShards, shardPaths } from './shardIndex.js';
import { imageName, type SourceIndex, sharedUint32 } from './sourceIndex.js';
import { openReader, type SourceReader } from './sourceReader.js';
import { defaultUnpackedLimit, type IndexedTar, indexTar, indexTarGz, isGzip } from './tarIndex.js';

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
  /** The flag or key that gave the path, such as `--images`; it stands before what is wrong with the source. */
  readonly given?: string;
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
  /** What a source without images holds in their place, and the way out. */
  readonly others?: string | undefined;
}

/**
 * Opens a source of images:
 * - a folder (searched recursively), a .tar, or a .tar.gz / .tgz; an archive of a folder equals the folder: folders that
 *   hold all of an archive's images are left out of the names
 *   links are followed, hidden files and folders left out, and whether a .tar is packed its first bytes say
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
  const { given } = options;
  if (given === undefined) return open(path, options);
  try {
    return await open(path, options);
  } catch (cause) {
    if (!(cause instanceof DataError)) throw cause;
    throw new DataError(cause.code, `${given}: ${cause.message}`, { cause });
  }
}

async function open(path: string | readonly string[], options: SourceOptions): Promise<ImageSource> {
  const { labels = 'none' } = options;
  const { index, ...indexed } = await indexOf(path, options);
  const { count } = index;
  if (count === 0) {
    const others = indexed.others === undefined ? '' : `, but ${indexed.others}`;
    throw new DataError('no_images', `${sourceText(path)} holds no images${others}; ${whereLooked(index)}`);
  }
  const source = { count, nameOf: (item: number) => imageName(index, item), index, ...openReader(index) };
  if (labels === 'none') return source;
  const origin = labels === 'auto' ? (indexed.bringsLabels ? 'given' : 'folders') : labels;
  const orElse = orElseOf(labels);
  const names = origin === 'given' ? givenLabels(path, indexed, orElse) : folderLabels(path, index, orElse);
  return { ...source, labelled: { ...classesOf(path, names, origin, orElse), origin } };
}

/** The other way out of missing labels. With `auto` they are needed in any case: nobody set them. */
function orElseOf(labels: SourceOptions['labels']): string {
  return labels === 'auto' ? '' : ', or set data.labels to none';
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
      orElse: orElseOf(wanted),
      cache: options.shardCache ?? defaultShardCache(),
      keepFrom: options.keepShardsFrom ?? 50,
    });
    return { index, given: labels, bringsLabels: true };
  };
  if (typeof path !== 'string') return shards(path.flatMap(shardPaths));
  const status = await stat(path).catch((cause: unknown) => {
    if (/\{.*\}/.test(path)) return undefined;
    throw new DataError('not_found', `${path} cannot be opened: ${fileProblem(cause)}; give ${accepted}`, { cause });
  });
  if (status === undefined) return shards(shardPaths(path));
  const unlabelled = (index: SourceIndex): Indexed => ({ index, given: undefined, bringsLabels: false });
  const ofArchive = ({ index, links: [first] }: IndexedTar): Indexed => ({
    ...unlabelled(index),
    ...(first !== undefined && { others: `${first}; make the archive with tar --dereference` }),
  });
  if (status.isDirectory()) {
    const index = await indexFolder(path);
    if (index.count > 0) return unlabelled(index);
    const files = (await readdir(path)).filter((name) => !isHidden(name)).sort(byCodeUnits);
    const archives = files.filter((name) => /\.tar$/i.test(name));
    if (archives.length > 0) return shards(archives.map((name) => join(path, name)));
    return { ...unlabelled(index), others: otherArchives(files) };
  }
  if (/\.(tar|tar\.gz|tgz)$/i.test(path)) {
    // What it is decides, not what it is called.
    if (isGzip(path)) {
      if (wanted === 'given') throw packedShard(path);
      return ofArchive(await indexTarGz(path, options.unpackedLimit ?? defaultUnpackedLimit));
    }
    if (wanted === 'given') return shards([path]);
    try {
      return ofArchive(indexTar(path));
    } catch (cause) {
      if (/\.tar$/i.test(path) || !(cause instanceof DataError && cause.code === 'unsupported')) throw cause;
      throw new DataError('unsupported', `${path} cannot be unpacked as gzip: ${cause.message}`, { cause });
    }
  }
  if (listPattern.test(path)) {
    const { index, labels, unlabelledLine } = await indexList(path);
    return { index, given: labels, bringsLabels: true, unlabelled: `line ${unlabelledLine} has no label` };
  }
  throw new DataError('unsupported', `${path} cannot be read as a source; give ${accepted}`);
}

/** Archives among a folder's files that are no plain .tar, and so no shards. */
function otherArchives(files: readonly string[]): string | undefined {
  const found = files.filter((name) =>
    /\.(tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz|zip|rar|7z|parquet|tfrecords?)$/i.test(name),
  );
  if (found.length === 0) return undefined;
  const named = found.slice(0, 3).join(', ');
  return found.every((name) => /\.(tar\.gz|tgz)$/i.test(name))
    ? `shards packed with gzip (${named}${found.length > 3 ? `, ${found.length} in all` : ''}), which cannot be read at an offset: unpack them with gunzip, or give one of them alone`
    : `archives that are not read (${named}${found.length > 3 ? `, ${found.length} in all` : ''}): unpack them, or make .tar archives of them`;
}

function packedShard(path: string): DataError {
  return new DataError(
    'unsupported',
    `labels were asked for as given, by samples of a shard, but ${path} is packed with gzip; images of shards are read at their offsets: unpack it with gunzip`,
  );
}

function givenLabels(
  path: string | readonly string[],
  { given, unlabelled }: Omit<Indexed, 'index'>,
  orElse: string,
): readonly string[] {
  if (given !== undefined) return given;
  throw new DataError(
    'no_labels',
    unlabelled === undefined
      ? `labels were asked for as given, but ${sourceText(path)} is neither a list nor shards; set data.labels to folders${orElse}`
      : `labels were asked for, but ${sourceText(path)}, ${unlabelled}; give every line one${orElse}`,
  );
}

function folderLabels(path: string | readonly string[], index: SourceIndex, orElse: string): string[] {
  if (index.prefixes !== undefined) {
    throw new DataError(
      'no_labels',
      `labels were asked for by folders, but ${sourceText(path)} are shards; set data.labels to given (.cls or .json beside each image)${orElse}`,
    );
  }
  return Array.from({ length: index.count }, (_, item) => {
    const name = imageName(index, item);
    const end = name.indexOf('/');
    if (end > 0) return name.slice(0, end);
    throw new DataError(
      'no_labels',
      `labels were asked for, but ${name} lies at the top of ${sourceText(path)}; put every image into the folder of its class${orElse}`,
    );
  });
}

function classesOf(
  path: string | readonly string[],
  names: readonly string[],
  origin: 'folders' | 'given',
  orElse: string,
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
      `labels were asked for, but ${sourceText(path)} has only ${what}; ${way}${orElse}`,
    );
  }
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  return { classes, labels: sharedUint32(names.map((name) => labelOf.get(name)!)) };
}
