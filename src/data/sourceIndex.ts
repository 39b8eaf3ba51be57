import { resolve } from 'node:path';
import { type NameTable, nameAt } from './nameTable.js';

/** Size of a tar block: contents start at multiples of it. */
export const TAR_BLOCK = 512;

/** In place of a first block: the archive names the image and does not hold it (a link that leads out of it). */
export const ABSENT_BLOCK = 0xffffffff;

/** Where the contents of images lie in archives. Blocks instead of bytes fit 2 TiB of an archive into 32 bits. */
export interface ArchivePlaces {
  /** First tar block of the content. */
  readonly blocks: Uint32Array;
  /** Bytes of the content. */
  readonly sizes: Uint32Array;
}

/** Where the encoded bytes of a source's images lie; plain data, so that it can be sent to a worker thread. */
type Storage =
  /** Item i is the file of its name, from `root` where the name is relative. */
  | { readonly kind: 'files'; readonly root: string }
  /** Item i lies in the archive paths[archives[i]], or in paths[0] where there is one alone. */
  | {
      readonly kind: 'tar';
      readonly paths: readonly string[];
      readonly archives?: Uint32Array;
      readonly places: ArchivePlaces;
    }
  /** Item i lies in an archive in memory that all threads share. */
  | {
      readonly kind: 'memory';
      /** The file that was unpacked. */
      readonly path: string;
      readonly bytes: SharedArrayBuffer;
      readonly places: ArchivePlaces;
    };

/**
 * The images of a source in their order, and where they lie. All that grows with their number lies in shared memory, so
 * that threads cost nothing more.
 */
export interface SourceIndex {
  readonly count: number;
  /** Paths from the root of the folder, list or archive, with / between the parts. */
  readonly names: NameTable;
  /** What stands before the names of each archive; only where there are several. */
  readonly prefixes?: readonly string[];
  readonly storage: Storage;
}

/** Name of an image, the same on every machine and unlike those of the others. */
export function imageName({ names, prefixes, storage }: SourceIndex, item: number): string {
  const prefix = storage.kind === 'tar' && storage.archives ? prefixes?.[storage.archives[item]!] : undefined;
  return (prefix ?? '') + nameAt(names, item);
}

/** Where an image lies: its file, or its archive and its place in it. The same for two sources that share it. */
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
