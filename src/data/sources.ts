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
 * Origin of labels. `folders`: the top-level folders are the classes. `given`: the labels in the lines of a list or the samples
 * of a shard. `auto`: `given` for lists and shards, else `folders`.
 */
export type LabelOrigin = 'folders' | 'given' | 'auto';

/** Labels of a source's images. */
interface SourceLabels {
  /** Names of the classes: sorted as text, or by value if the labels are given and all are integers. */
  readonly classes: readonly string[];
  /** Class of each image, as an index into `classes`. */
  readonly labels: Uint32Array;
  readonly origin: 'folders' | 'given';
}

/** The images of a folder, an archive, shards or a list, in a fixed order. */
export interface ImageSource extends SourceReader {
  /** Number of images. */
  readonly count: number;
  /**
   * Returns the path of an image relative to the root of the source, separated by /. Folders and archives are sorted by this path
   * (UTF-16 code units); lists and shards keep their own order. An index thus means the same image on every machine.
   */
  nameOf(index: number): string;
  /** Only if labels were requested. */
  readonly labelled?: SourceLabels;
  /** Names and locations of the images, as plain data for worker threads. */
  readonly index: SourceIndex;
}

export interface SourceOptions {
  /** Default: `none`. */
  readonly labels?: 'none' | LabelOrigin;
  /** Maximum decompressed bytes of a .tar.gz. Default: 2 GiB. */
  readonly unpackedLimit?: number;
  /** Folder of the cache of shard indexes. Default: `~/.cache/vicregl/shards`. */
  readonly shardCache?: string;
  /** Flag or key of the path, such as `--images`; error messages start with it. */
  readonly given?: string;
  /** Shards that are indexed in fewer milliseconds are not cached. Default: 50. */
  readonly keepShardsFrom?: number;
}

const accepted = 'a folder of images, a .tar, .tar.gz, .csv, .tsv or .jsonl, or shards such as train-{000..099}.tar';

/** An indexed source, with the labels that it contains. */
interface Indexed {
  readonly index: SourceIndex;
  readonly given: readonly string[] | undefined;
  /** Whether sources of this kind contain labels. */
  readonly hasOwnLabels: boolean;
  /** Reason why `given` is absent. */
  readonly unlabelled?: string;
  /** For a source without images: what it contains instead, and how to fix it. */
  readonly others?: string | undefined;
}

/**
 * Opens a source of images:
 * - a folder (searched recursively), a .tar, or a .tar.gz / .tgz. An archive of a folder equals the folder: folders that contain
 *   all images of the archive are removed from the names. Links are followed; hidden files and folders are skipped. Compression
 *   is detected from the first bytes, not from the name.
 * - a list: .csv, .tsv or .jsonl (see indexList)
 * - WebDataset shards: a pattern with braces, several paths, or a folder of .tar files without images (see indexShards). A .tar
 *   whose labels are `given` is one shard.
 * @throws DataError `not_found`, `no_images`, `no_labels` (an image without a class, or fewer than two classes), `malformed` or
 *   `unsupported` (another kind of file, or a .tar.gz over the limit).
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
    throw new DataError('no_images', `${sourceText(path)} contains no images${others}; ${whereLooked(index)}`);
  }
  const source = { count, nameOf: (item: number) => imageName(index, item), index, ...openReader(index) };
  if (labels === 'none') return source;
  const origin = labels === 'auto' ? (indexed.hasOwnLabels ? 'given' : 'folders') : labels;
  const orElse = orElseOf(labels);
  const names = origin === 'given' ? givenLabels(path, indexed, orElse) : folderLabels(path, index, orElse);
  return { ...source, labelled: { ...classesOf(path, names, origin, orElse), origin } };
}

/** An alternative to adding labels, for messages. With `auto` there is none, because the caller needs labels in any case. */
function orElseOf(labels: SourceOptions['labels']): string {
  return labels === 'auto' ? '' : ', or set data.labels to none';
}

/** Formats the path of a source for messages. */
export function sourceText(path: string | readonly string[]): string {
  return typeof path === 'string' ? path : path.join(', ');
}

function whereLooked({ storage, prefixes }: SourceIndex): string {
  return prefixes === undefined || storage.kind !== 'tar'
    ? `searched it and its subfolders for names that end in .${imageExtensions.join(', .')}`
    : `searched for samples with a member whose extension (from the first dot of its name on) is .${imageExtensions.join(', .')}`;
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
    return { index, given: labels, hasOwnLabels: true };
  };
  if (typeof path !== 'string') return shards(path.flatMap(shardPaths));
  const status = await stat(path).catch((cause: unknown) => {
    if (/\{.*\}/.test(path)) return undefined;
    throw new DataError('not_found', `${path} cannot be opened: ${fileProblem(cause)}; give ${accepted}`, { cause });
  });
  if (status === undefined) return shards(shardPaths(path));
  const unlabelled = (index: SourceIndex): Indexed => ({ index, given: undefined, hasOwnLabels: false });
  const ofArchive = ({ index, links: [first] }: IndexedTar): Indexed => ({
    ...unlabelled(index),
    ...(first !== undefined && { others: `${first}; create the archive with tar --dereference` }),
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
    // The content decides, not the extension.
    if (isGzip(path)) {
      if (wanted === 'given') throw compressedShardError(path);
      return ofArchive(await indexTarGz(path, options.unpackedLimit ?? defaultUnpackedLimit));
    }
    if (wanted === 'given') return shards([path]);
    try {
      return ofArchive(indexTar(path));
    } catch (cause) {
      if (/\.tar$/i.test(path) || !(cause instanceof DataError && cause.code === 'unsupported')) throw cause;
      throw new DataError('unsupported', `${path} cannot be decompressed as gzip: ${cause.message}`, { cause });
    }
  }
  if (listPattern.test(path)) {
    const { index, labels, unlabelledLine } = await indexList(path);
    return { index, given: labels, hasOwnLabels: true, unlabelled: `line ${unlabelledLine} has no label` };
  }
  throw new DataError('unsupported', `${path} cannot be read as a source; give ${accepted}`);
}

/** Describes archives in a folder that are not plain .tar files and therefore not shards. */
function otherArchives(files: readonly string[]): string | undefined {
  const found = files.filter((name) =>
    /\.(tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz|zip|rar|7z|parquet|tfrecords?)$/i.test(name),
  );
  if (found.length === 0) return undefined;
  const named = found.slice(0, 3).join(', ');
  return found.every((name) => /\.(tar\.gz|tgz)$/i.test(name))
    ? `shards compressed with gzip (${named}${found.length > 3 ? `, ${found.length} in all` : ''}), which cannot be read by offset: decompress them with gunzip, or give a single one`
    : `unsupported archives (${named}${found.length > 3 ? `, ${found.length} in all` : ''}): unpack them, or convert them to .tar`;
}

function compressedShardError(path: string): DataError {
  return new DataError(
    'unsupported',
    `labels were requested as given (by the samples of a shard), but ${path} is compressed with gzip; images of shards are read by offset: decompress it with gunzip`,
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
      ? `labels were requested as given, but ${sourceText(path)} is neither a list nor shards; set data.labels to folders${orElse}`
      : `labels are required, but ${sourceText(path)}, ${unlabelled}; add a label to every line${orElse}`,
  );
}

function folderLabels(path: string | readonly string[], index: SourceIndex, orElse: string): string[] {
  if (index.prefixes !== undefined) {
    throw new DataError(
      'no_labels',
      `labels were requested by folders, but ${sourceText(path)} are shards; set data.labels to given (.cls or .json next to each image)${orElse}`,
    );
  }
  return Array.from({ length: index.count }, (_, item) => {
    const name = imageName(index, item);
    const end = name.indexOf('/');
    if (end > 0) return name.slice(0, end);
    throw new DataError(
      'no_labels',
      `labels are required, but ${name} is at the top level of ${sourceText(path)}; put every image into the folder of its class${orElse}`,
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
  // Classes by folder keep their order as text, which earlier versions used.
  classes.sort(origin === 'given' && numbered ? (a, b) => Number(a) - Number(b) || byCodeUnits(a, b) : byCodeUnits);
  if (classes.length < 2) {
    const what = origin === 'folders' ? `the class folder ${classes[0]}` : `the label ${classes[0]}`;
    const solution =
      origin === 'folders'
        ? 'give a folder with one subfolder per class'
        : 'give a source with at least two different labels';
    throw new DataError(
      'no_labels',
      `labels are required, but ${sourceText(path)} has only ${what}; ${solution}${orElse}`,
    );
  }
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  return { classes, labels: sharedUint32(names.map((name) => labelOf.get(name)!)) };
}
