import { crc32 } from 'node:zlib';

/** A file in an archive. */
export interface ZipMember {
  readonly name: string;
  readonly data: Uint8Array;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
/** 2.0, the version that all readers have. */
const VERSION = 20;
/** 1 January 1980, the first date of the format: the same members give the same bytes. */
const DATE = 0x0021;

/** The fields that the header of a member and its entry in the directory share. */
function shared(view: DataView, at: number, name: number, data: Uint8Array): void {
  view.setUint16(at, VERSION, true);
  view.setUint16(at + 8, DATE, true);
  view.setUint32(at + 10, crc32(data), true);
  view.setUint32(at + 14, data.byteLength, true);
  view.setUint32(at + 18, data.byteLength, true);
  view.setUint16(at + 22, name, true);
}

/**
 * A ZIP archive without compression, as `numpy.savez` writes it (APPNOTE.TXT 6.3.10, without ZIP64: at most 4 GiB and 65,535
 * members). Names are ASCII. The data is copied once.
 */
export function storedZip(members: readonly ZipMember[]): Uint8Array {
  const names = members.map(({ name }) => Buffer.from(name, 'latin1'));
  const nameBytes = names.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const dataBytes = members.reduce((sum, { data }) => sum + data.byteLength, 0);
  const directory = members.length * 30 + nameBytes + dataBytes;
  const bytes = new Uint8Array(directory + members.length * 46 + nameBytes + 22);
  const view = new DataView(bytes.buffer);
  let at = 0;
  let entry = directory;
  for (const [i, { data }] of members.entries()) {
    const name = names[i]!;
    view.setUint32(entry, CENTRAL, true);
    view.setUint16(entry + 4, VERSION, true);
    shared(view, entry + 6, name.byteLength, data);
    view.setUint32(entry + 42, at, true);
    bytes.set(name, entry + 46);
    entry += 46 + name.byteLength;

    view.setUint32(at, LOCAL, true);
    shared(view, at + 4, name.byteLength, data);
    bytes.set(name, at + 30);
    bytes.set(data, at + 30 + name.byteLength);
    at += 30 + name.byteLength + data.byteLength;
  }
  view.setUint32(entry, END, true);
  view.setUint16(entry + 8, members.length, true);
  view.setUint16(entry + 10, members.length, true);
  view.setUint32(entry + 12, entry - directory, true);
  view.setUint32(entry + 16, directory, true);
  return bytes;
}
