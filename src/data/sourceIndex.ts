import { resolve } from 'node:path';
import { type NameTable, nameAt } from './nameTable.js';

/** Size of a tar block in bytes; the contents of members start at multiples of it. */
export const TAR_BLOCK = 512;

/** Block number of an image whose content is not in the archive (a link to the outside). */
export const ABSENT_BLOCK = 0xffffffff;

/** Locations of images in archives. Offsets are in blocks, so that 32 bits suffice for archives of 2 TiB. */
export interface ArchivePlaces {
  /** First tar block of the content. */
  readonly blocks: Uint32Array;
  /** Bytes of the content. */
  readonly sizes: Uint32Array;
}

/** Location of the encoded images of a source, as plain data, so that it can be sent to worker threads. */
type Storage =
  /** Image i is the file with its name, relative to `root` unless the name is absolute. */
  | { readonly kind: 'files'; readonly root: string }
  /** Image i is in the archive paths[archives[i]], or in paths[0] if there is only one archive. */
  | {
      readonly kind: 'tar';
      readonly paths: readonly string[];
      readonly archives?: Uint32Array;
      readonly places: ArchivePlaces;
    }
  /** Image i is in an archive in memory that all threads share. */
  | {
      readonly kind: 'memory';
      /** The compressed file. */
      readonly path: string;
      readonly bytes: SharedArrayBuffer;
      readonly places: ArchivePlaces;
    };

/**
 * The images of a source, in order, with their locations. All data that grows with the number of images is in shared memory, so
 * that more threads need no more memory.
 */
export interface SourceIndex {
  readonly count: number;
  /** Paths relative to the root of the folder, list or archive, separated by /. */
  readonly names: NameTable;
  /** Prefix of the names of each archive; only for shards. */
  readonly prefixes?: readonly string[];
  readonly storage: Storage;
}

/** Returns the name of an image: unique in its source, and the same on every machine. */
export function imageName({ names, prefixes, storage }: SourceIndex, item: number): string {
  const prefix = storage.kind === 'tar' && storage.archives ? prefixes?.[storage.archives[item]!] : undefined;
  return (prefix ?? '') + nameAt(names, item);
}

/** Returns the location of an image: its file, or its archive and block. It is equal for two sources that share the image. */
export function imagePlace(index: SourceIndex, item: number): string {
  const { storage } = index;
  const name = imageName(index, item);
  if (storage.kind === 'files') return resolve(storage.root, name);
  const archive = storage.kind === 'tar' ? resolve(storage.paths[storage.archives?.[item] ?? 0]!) : storage.path;
  return `${archive}:${storage.places.blocks[item]}`;
}

/** Copies numbers into shared memory. */
export function sharedUint32(values: ArrayLike<number>): Uint32Array<SharedArrayBuffer> {
  const shared = new Uint32Array(new SharedArrayBuffer(values.length * 4));
  shared.set(values);
  return shared;
}
