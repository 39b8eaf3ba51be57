import { closeSync, fstatSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { fileProblem } from '../files/fileProblem.js';
import { DataError } from './dataError.js';
import { byCodeUnits, isImageName } from './imageNames.js';
import { type NameTable, packNames } from './nameTable.js';
import { ABSENT_BLOCK, type ArchivePlaces, type SourceIndex, sharedUint32, TAR_BLOCK } from './sourceIndex.js';
import { type ByteSource, compressionOf, fileBytes, memoryBytes, type TarMember, tarMembers } from './tarWalk.js';

/** Default maximum of decompressed bytes of a .tar.gz, which is held in memory because gzip does not allow random access. */
export const defaultUnpackedLimit = 2 * 1024 ** 3;

/** Whether the first bytes of a file are those of gzip; its name does not matter. */
export function isGzip(path: string): boolean {
  return readArchive(path, (archive) => compressionOf(archive.read(0, 2))?.what === 'compressed with gzip');
}

/** The images of an archive. */
export interface IndexedTar {
  readonly index: SourceIndex;
  /** Links whose targets are not files of the archive, and whose names are not those of images. */
  readonly links: readonly string[];
}

/** Indexes the images of a plain .tar. Only headers are read; each image is read later by its offset. */
export function indexTar(path: string): IndexedTar {
  const { names, places, links } = readArchive(path, (archive) => arrange(archive, path));
  return { index: { count: places.blocks.length, names, storage: { kind: 'tar', paths: [path], places } }, links };
}

/**
 * Indexes the images of a .tar.gz, which is decompressed into memory.
 * @param limit maximum of decompressed bytes
 * @throws DataError `not_found` if it cannot be read, `unsupported` over the limit or if it is not a gzip file.
 */
export async function indexTarGz(path: string, limit: number = defaultUnpackedLimit): Promise<IndexedTar> {
  const packed = await readFile(path).catch((cause: unknown) => {
    throw new DataError('not_found', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  const unpacked = await promisify(gunzip)(packed, { maxOutputLength: limit }).catch((cause: unknown) => {
    const tooLarge = cause instanceof RangeError;
    throw new DataError(
      'unsupported',
      tooLarge
        ? `${path} decompresses to more than ${limit} bytes, the maximum held in memory; decompress it with gunzip, a plain .tar has no limit`
        : `${path} cannot be decompressed as gzip: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  });
  const { names, places, links } = arrange(memoryBytes(unpacked), path);
  const bytes = new SharedArrayBuffer(unpacked.length);
  new Uint8Array(bytes).set(unpacked);
  return {
    index: { count: places.blocks.length, names, storage: { kind: 'memory', path: resolve(path), bytes, places } },
    links,
  };
}

/** Opens a file and returns its descriptor. @throws DataError `not_found` with the reason. */
function openDescriptor(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new DataError('not_found', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
  }
}

/** Opens an archive, passes it to `walk` and closes it. @throws DataError `not_found` if it cannot be opened. */
export function readArchive<T>(path: string, walk: (archive: ByteSource) => T): T {
  const descriptor = openDescriptor(path);
  try {
    return walk(fileBytes(descriptor, fstatSync(descriptor).size));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Returns the first block of a member's content.
 * @throws DataError `unsupported` for a member whose offset or size exceeds 32 bits.
 */
export function blockOf({ name, offset, size, absent }: TarMember, path: string): number {
  if (absent !== undefined) return ABSENT_BLOCK;
  if (offset / TAR_BLOCK < ABSENT_BLOCK && size <= 0xffffffff) return offset / TAR_BLOCK;
  throw new DataError(
    'unsupported',
    `${path}: ${name} is beyond 2 TiB or larger than 4 GiB; split the archive into smaller shards`,
  );
}

/**
 * Sorts images by name and removes the folders that all names have in common, so that an archive of a folder equals the folder.
 */
function arrange(
  archive: ByteSource,
  path: string,
): { names: NameTable; places: ArchivePlaces } & Pick<IndexedTar, 'links'> {
  const links: string[] = [];
  const members = new Map<string, { readonly name: string; readonly block: number; readonly size: number }>();
  for (const member of tarMembers(archive, path)) {
    const { name, size, absent } = member;
    if (absent !== undefined && !isImageName(name)) links.push(`${name}: ${absent}`);
    if (!isImageName(name)) continue;
    if (members.has(name)) {
      throw new DataError(
        'malformed',
        `${path} contains ${name} more than once; give every member a unique name, or unpack the archive, which keeps the last`,
      );
    }
    members.set(name, { name, block: blockOf(member, path), size });
  }
  const sorted = [...members.values()].sort((a, b) => byCodeUnits(a.name, b.name));
  let shared = sorted[0]?.name.split('/').slice(0, -1) ?? [];
  for (const { name } of sorted) {
    const parts = name.split('/').slice(0, -1);
    const differs = shared.findIndex((part, i) => parts[i] !== part);
    if (differs >= 0) shared = shared.slice(0, differs);
  }
  const skip = shared.reduce((length, part) => length + part.length + 1, 0);
  return {
    names: packNames(sorted.map(({ name }) => name.slice(skip))),
    links,
    places: {
      blocks: sharedUint32(sorted.map(({ block }) => block)),
      sizes: sharedUint32(sorted.map(({ size }) => size)),
    },
  };
}
