import { closeSync, fstatSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { DataError } from './dataError.js';
import { byCodeUnits, isImageName } from './imageNames.js';
import { type NameTable, packNames } from './nameTable.js';
import { type ArchivePlaces, type SourceIndex, sharedUint32, TAR_BLOCK } from './sourceIndex.js';
import { type ByteSource, fileBytes, memoryBytes, type TarMember, tarMembers } from './tarWalk.js';

/** Most unpacked bytes of a .tar.gz: it is held in memory, as gzip cannot be read from the middle. */
export const defaultUnpackedLimit = 2 * 1024 ** 3;

/** Images of a plain .tar, of which only the headers are read; afterwards each image is read by its offset. */
export function indexTar(path: string): SourceIndex {
  const { names, places } = readArchive(path, (archive) => arrange(archive, path));
  return { count: places.blocks.length, names, storage: { kind: 'tar', paths: [path], places } };
}

/**
 * Images of a .tar.gz, unpacked into memory.
 * @param limit most unpacked bytes
 * @throws DataError `unsupported` over the limit or where it is no gzip file.
 */
export async function indexTarGz(path: string, limit: number = defaultUnpackedLimit): Promise<SourceIndex> {
  const unpacked = await promisify(gunzip)(await readFile(path), { maxOutputLength: limit }).catch((cause: unknown) => {
    const tooLarge = cause instanceof RangeError;
    throw new DataError(
      'unsupported',
      tooLarge
        ? `${path} unpacks to more than ${limit} bytes, the most that is held in memory; gunzip it, plain .tar has no limit`
        : `${path} cannot be unpacked as gzip: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  });
  const { names, places } = arrange(memoryBytes(unpacked), path);
  const bytes = new SharedArrayBuffer(unpacked.length);
  new Uint8Array(bytes).set(unpacked);
  return { count: places.blocks.length, names, storage: { kind: 'memory', bytes, places } };
}

/** Opens an archive for a walk over its headers. */
export function readArchive<T>(path: string, walk: (archive: ByteSource) => T): T {
  const descriptor = openSync(path, 'r');
  try {
    return walk(fileBytes(descriptor, fstatSync(descriptor).size));
  } finally {
    closeSync(descriptor);
  }
}

/** @throws DataError `unsupported` for a member that a place cannot hold. */
export function checkPlace({ name, offset, size }: TarMember, path: string): void {
  if (offset / TAR_BLOCK <= 0xffffffff && size <= 0xffffffff) return;
  throw new DataError(
    'unsupported',
    `${path}: ${name} lies beyond 2 TiB or has over 4 GiB; split the archive into smaller shards`,
  );
}

/** Sorts by name and drops the folders that all names share, so that an archive of a folder equals the folder. */
function arrange(archive: ByteSource, path: string): { names: NameTable; places: ArchivePlaces } {
  const sorted: TarMember[] = [];
  for (const member of tarMembers(archive, path)) {
    if (!isImageName(member.name)) continue;
    checkPlace(member, path);
    sorted.push(member);
  }
  sorted.sort((a, b) => byCodeUnits(a.name, b.name));
  let shared = sorted[0]?.name.split('/').slice(0, -1) ?? [];
  for (const { name } of sorted) {
    const parts = name.split('/').slice(0, -1);
    const differs = shared.findIndex((part, i) => parts[i] !== part);
    if (differs >= 0) shared = shared.slice(0, differs);
  }
  const skip = shared.reduce((length, part) => length + part.length + 1, 0);
  return {
    names: packNames(sorted.map(({ name }) => name.slice(skip))),
    places: {
      blocks: sharedUint32(sorted.map(({ offset }) => offset / TAR_BLOCK)),
      sizes: sharedUint32(sorted.map(({ size }) => size)),
    },
  };
}
