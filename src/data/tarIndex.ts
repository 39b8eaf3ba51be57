import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { DataError } from './dataError.js';
import { byCodeUnits, isImageName } from './imageNames.js';
import type { SourceIndex } from './sourceIndex.js';

/** Most unpacked bytes of a .tar.gz: it is held in memory, as gzip cannot be read from the middle. */
export const defaultUnpackedLimit = 2 * 1024 ** 3;

interface Entry {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** Images of a plain .tar, which is read through once; afterwards each image is read by its offset. */
export async function indexTar(path: string): Promise<SourceIndex> {
  const { names, offsets, sizes } = arrange(
    await listEntries(createReadStream(path, { highWaterMark: 2 ** 20 }), path),
  );
  return { names, storage: { kind: 'tar', path, offsets, sizes } };
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
  const { names, offsets, sizes } = arrange(await listEntries(Readable.from([unpacked]), path));
  const bytes = new SharedArrayBuffer(unpacked.length);
  new Uint8Array(bytes).set(unpacked);
  return { names, storage: { kind: 'memory', bytes, offsets, sizes } };
}

async function listEntries(archive: Readable, path: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  const parser = extract();
  parser.on('entry', (header, body, next) => {
    // tar-stream sets byteOffset, where the entry's content begins; its type declarations leave it out.
    const { name, size, type, byteOffset } = header as Header & { byteOffset: number };
    if (type === 'file' && isImageName(name)) {
      entries.push({ name: name.replace(/^(\.?\/)+/, ''), offset: byteOffset, size: size ?? 0 });
    }
    body.on('end', next);
    body.resume();
  });
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(new DataError('unsupported', `${path} cannot be read as a tar archive: ${cause.message}`, { cause }));
    archive.on('error', fail);
    parser.on('error', fail).on('finish', resolve);
    archive.pipe(parser);
  });
  return entries;
}

/** Sorts by name and drops the folders that all names share, so that an archive of a folder equals the folder. */
function arrange(entries: readonly Entry[]): { names: string[]; offsets: Float64Array; sizes: Float64Array } {
  const sorted = [...entries].sort((a, b) => byCodeUnits(a.name, b.name));
  let shared = sorted[0]?.name.split('/').slice(0, -1) ?? [];
  for (const { name } of sorted) {
    const parts = name.split('/').slice(0, -1);
    const differs = shared.findIndex((part, i) => parts[i] !== part);
    if (differs >= 0) shared = shared.slice(0, differs);
  }
  const skip = shared.reduce((length, part) => length + part.length + 1, 0);
  return {
    names: sorted.map(({ name }) => name.slice(skip)),
    offsets: Float64Array.from(sorted, ({ offset }) => offset),
    sizes: Float64Array.from(sorted, ({ size }) => size),
  };
}
