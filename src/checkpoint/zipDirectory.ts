import { type ByteSource, checkRange } from './byteSource.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { describeOtherZip } from './zipKinds.js';

/** Reads directories of zip archives with uncompressed entries (PKWARE's APPNOTE 6.3.10), including zip64. */

/** An uncompressed entry. */
export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  /** CRC-32 of the content. */
  readonly crc32: number;
  /** Position of the local header. */
  readonly headerAt: number;
}

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 65_535;
const END64_LOCATOR_SIGNATURE = 0x07064b50;
const END64_LOCATOR_BYTES = 20;
const END64_SIGNATURE = 0x06064b50;
const END64_BYTES = 56;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const ZIP64_EXTRA = 1;
const ENCRYPTED = 1;
const METHOD_NAMES: Readonly<Record<number, string>> = {
  8: 'deflate',
  9: 'deflate64',
  12: 'bzip2',
  14: 'LZMA',
  93: 'Zstandard',
};

/** Maximum bytes of a directory. A checkpoint has one entry per tensor; this suffices for 600,000 entries of 100 bytes. */
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

interface Directory {
  readonly at: number;
  readonly size: number;
  readonly entries: number;
}

/** Finds the directory by its end record, which is at the end of the archive. @throws CheckpointFileError if there is none. */
async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailBytes = Math.min(source.size, END_BYTES + MAX_COMMENT_BYTES);
  const tailAt = source.size - tailBytes;
  const tail = viewOf(await source.read(tailAt, tailBytes));
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END_SIGNATURE || tail.getUint16(at + 20, true) !== tailBytes - at - END_BYTES)
      continue;
    const directory = {
      entries: tail.getUint16(at + 10, true),
      size: tail.getUint32(at + 12, true),
      at: tail.getUint32(at + 16, true),
    };
    const locatorAt = tailAt + at - END64_LOCATOR_BYTES;
    if (locatorAt < 0) return directory;
    const locator = viewOf(await source.read(locatorAt, END64_LOCATOR_BYTES));
    if (locator.getUint32(0, true) !== END64_LOCATOR_SIGNATURE) return directory;
    const endAt = Number(locator.getBigUint64(8, true));
    checkRange(source, endAt, END64_BYTES, 'the end record of its zip directory');
    const end = viewOf(await source.read(endAt, END64_BYTES));
    if (end.getUint32(0, true) !== END64_SIGNATURE)
      throw new CheckpointFileError(`${source.name}: its zip64 end record is damaged`);
    return {
      entries: Number(end.getBigUint64(32, true)),
      size: Number(end.getBigUint64(40, true)),
      at: Number(end.getBigUint64(48, true)),
    };
  }
  throw new CheckpointFileError(
    `${source.name} starts like a zip archive but has no directory at its end; is it truncated?`,
  );
}

/** Reads sizes and offset that exceed 32 bits from the zip64 extra field, which contains them in this order. */
function widen(values: readonly number[], extra: DataView, fail: () => never): number[] {
  let at = 0;
  while (at + 4 <= extra.byteLength) {
    const [id, length] = [extra.getUint16(at, true), extra.getUint16(at + 2, true)];
    at += 4;
    if (at + length > extra.byteLength) fail();
    if (id === ZIP64_EXTRA) {
      let field = at;
      return values.map((value) => {
        if (value !== 0xffffffff) return value;
        if (field + 8 > at + length) fail();
        field += 8;
        return Number(extra.getBigUint64(field - 8, true));
      });
    }
    at += length;
  }
  return values.includes(0xffffffff) ? fail() : [...values];
}

/**
 * Reads the directory of an archive.
 * @throws CheckpointFileError if it is damaged, or if an entry is compressed, encrypted, a duplicate or outside the file.
 */
export async function readZipDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const { name: file } = source;
  const directory = await findDirectory(source);
  if (directory.size > MAX_DIRECTORY_BYTES) {
    throw new CheckpointFileError(
      `${file}: its zip directory claims ${directory.size} bytes; the limit is ${MAX_DIRECTORY_BYTES}`,
    );
  }
  checkRange(source, directory.at, directory.size, 'its zip directory');
  const bytes = await source.read(directory.at, directory.size);
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  // Reported at the end, because the names of all entries are needed to describe the archive.
  const compressed: { readonly quoted: string; readonly how: string }[] = [];
  const names: string[] = [];
  const damaged = (): never => {
    throw new CheckpointFileError(`${file}: entry ${names.length} of its zip directory is damaged`);
  };
  let at = 0;
  while (at < bytes.byteLength) {
    if (at + ENTRY_BYTES > bytes.byteLength || view.getUint32(at, true) !== ENTRY_SIGNATURE) damaged();
    const nameAt = at + ENTRY_BYTES;
    const extraAt = nameAt + view.getUint16(at + 28, true);
    const commentAt = extraAt + view.getUint16(at + 30, true);
    const next = commentAt + view.getUint16(at + 32, true);
    if (next > bytes.byteLength) damaged();
    const name = new TextDecoder().decode(bytes.subarray(nameAt, extraAt));
    const quoted = JSON.stringify(name);
    const method = view.getUint16(at + 10, true);
    names.push(name);
    if (method !== 0) {
      compressed.push({ quoted, how: METHOD_NAMES[method] ?? `method ${method}` });
      at = next;
      continue;
    }
    if (view.getUint16(at + 8, true) & ENCRYPTED)
      throw new CheckpointFileError(`${file}: entry ${quoted} is encrypted`);
    const [size, packed, headerAt] = widen(
      [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)],
      viewOf(bytes.subarray(extraAt, commentAt)),
      damaged,
    ) as [number, number, number];
    if (packed !== size)
      throw new CheckpointFileError(
        `${file}: entry ${quoted} is uncompressed, but its sizes differ: ${packed} and ${size} bytes`,
      );
    checkRange(source, headerAt, LOCAL_BYTES + size, `zip entry ${quoted}`);
    if (headerAt + LOCAL_BYTES + size > directory.at) {
      throw new CheckpointFileError(`${file}: zip entry ${quoted} overlaps the directory`);
    }
    if (entries.has(name)) throw new CheckpointFileError(`${file}: it contains zip entry ${quoted} twice`);
    entries.set(name, { name, size, crc32: view.getUint32(at + 16, true), headerAt });
    at = next;
  }
  const [first] = compressed;
  if (first !== undefined) {
    const description = describeOtherZip(names);
    throw new CheckpointFileError(
      description === undefined
        ? `${file}: entry ${first.quoted} is compressed (${first.how}), which torch.save never does; unpack the archive and zip it again with -0`
        : `${file} is ${description}`,
    );
  }
  if (entries.size !== directory.entries) {
    throw new CheckpointFileError(
      `${file}: its zip directory lists ${entries.size} entries but claims ${directory.entries}`,
    );
  }
  rejectOverlaps(file, entries);
  return entries;
}

/** Rejects entries that share bytes, with which a small file could claim any amount of weights. */
function rejectOverlaps(file: string, entries: ReadonlyMap<string, ZipEntry>): void {
  const sorted = [...entries.values()].sort((a, b) => a.headerAt - b.headerAt);
  sorted.forEach(({ name, size, headerAt }, i) => {
    const next = sorted[i + 1];
    if (next !== undefined && headerAt + LOCAL_BYTES + size > next.headerAt) {
      throw new CheckpointFileError(
        `${file}: zip entries ${JSON.stringify(name)} and ${JSON.stringify(next.name)} overlap`,
      );
    }
  });
}

/**
 * Returns the position of the first byte of an entry.
 * @throws CheckpointFileError if its local header belongs to another entry, or if its bytes are not inside the file.
 */
export async function zipEntryStart(source: ByteSource, { name, size, headerAt }: ZipEntry): Promise<number> {
  const view = viewOf(await source.read(headerAt, LOCAL_BYTES));
  const nameBytes = view.getUint16(26, true);
  const start = headerAt + LOCAL_BYTES + nameBytes + view.getUint16(28, true);
  const isHeader = view.getUint32(0, true) === LOCAL_SIGNATURE && view.getUint16(8, true) === 0;
  checkRange(source, start, size, `zip entry ${JSON.stringify(name)}`);
  const found = new TextDecoder().decode(await source.read(headerAt + LOCAL_BYTES, nameBytes));
  if (!isHeader || found !== name) {
    throw new CheckpointFileError(
      `${source.name}: zip entry ${JSON.stringify(name)} is not at the position given by the directory`,
    );
  }
  return start;
}
