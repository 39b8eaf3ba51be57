import { stat } from 'node:fs/promises';
import { DataError } from './dataError.js';
import { indexFolder } from './folderIndex.js';
import { byCodeUnits, imageExtensions } from './imageNames.js';
import type { SourceIndex } from './sourceIndex.js';
import { openReader, type SourceReader } from './sourceReader.js';
import { defaultUnpackedLimit, indexTar, indexTarGz } from './tarIndex.js';

/** One image of a source. */
interface ImageItem {
  /** Path from the root of the folder or archive, with / between the parts. */
  readonly name: string;
  /** Index into the source's classes; only where labels were asked for. */
  readonly label?: number;
}

/** Images of a folder or an archive in a fixed order. */
export interface ImageSource extends SourceReader {
  /** Sorted by name (UTF-16 units), so that an index means the same image on every machine. */
  readonly items: readonly ImageItem[];
  /** Names of the classes, sorted; only where labels were asked for. */
  readonly classes?: readonly string[];
  /** Names and places of the images, as plain data for worker threads. */
  readonly index: SourceIndex;
}

export interface SourceOptions {
  /** `folders`: the folders at the top are the classes. Default `none`. */
  readonly labels?: 'none' | 'folders';
  /** Most unpacked bytes of a .tar.gz; default 2 GiB. */
  readonly unpackedLimit?: number;
}

/**
 * Opens a folder (searched recursively), a .tar, or a .tar.gz / .tgz as a source of images. An archive of a folder
 * equals the folder: folders that hold all of an archive's images are left out of the names.
 * @throws DataError `not_found`, `no_images`, `no_labels` (an image outside the class folders, or fewer than two
 *   classes) or `unsupported` (another kind of file; a .tar.gz over the limit).
 */
export async function openImageSource(path: string, options: SourceOptions = {}): Promise<ImageSource> {
  const index = await indexOf(path, options.unpackedLimit ?? defaultUnpackedLimit);
  if (index.names.length === 0) {
    throw new DataError(
      'no_images',
      `${path} holds no images; looked in it and its subfolders for names ending in .${imageExtensions.join(', .')}`,
    );
  }
  const reader = openReader(index);
  if (options.labels !== 'folders') {
    return { items: index.names.map((name) => ({ name })), index, ...reader };
  }
  const classes = classesOf(path, index.names);
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const items = index.names.map((name) => ({ name, label: labelOf.get(name.slice(0, name.indexOf('/')))! }));
  return { items, classes, index, ...reader };
}

async function indexOf(path: string, unpackedLimit: number): Promise<SourceIndex> {
  const status = await stat(path).catch((cause: unknown) => {
    throw new DataError('not_found', `${path} cannot be opened; give a folder of images, a .tar or a .tar.gz`, {
      cause,
    });
  });
  if (status.isDirectory()) return indexFolder(path);
  if (/\.tar$/i.test(path)) return indexTar(path);
  if (/\.(tar\.gz|tgz)$/i.test(path)) return indexTarGz(path, unpackedLimit);
  throw new DataError('unsupported', `${path} is neither a folder nor a .tar, .tar.gz or .tgz; give one of these`);
}

function classesOf(path: string, names: readonly string[]): string[] {
  const loose = names.find((name) => !name.includes('/'));
  if (loose !== undefined) {
    throw new DataError(
      'no_labels',
      `labels were asked for, but ${loose} lies at the top of ${path}; put every image into the folder of its class, or set labels to none`,
    );
  }
  const classes = [...new Set(names.map((name) => name.slice(0, name.indexOf('/'))))].sort(byCodeUnits);
  if (classes.length < 2) {
    throw new DataError(
      'no_labels',
      `labels were asked for, but ${path} has only the class folder ${classes[0]}; give a folder with one subfolder for each class, or set labels to none`,
    );
  }
  return classes;
}
