/**
 * Reads Qt's binary resource files (.rcc), which contain the images of GCompris.
 *
 * Layout (all integers are big-endian):
 * - Header: magic `qres`; u32 version, tree offset, data offset, name offset.
 * - Tree node, 14 bytes (version 1) or 22 bytes (versions 2 and 3, with a time stamp): u32 name offset, u16 flags (1 zlib,
 *   2 directory, 4 zstd); then for a directory u32 child count and u32 first child, for a file u16 country, u16 language and
 *   u32 data offset.
 * - Name: u16 length, u32 hash, UTF-16BE characters.
 * - Data: u32 length, then the payload. A zlib payload starts with the unpacked length (u32).
 */

import { inflateSync } from 'node:zlib';

const FLAG_ZLIB = 1;
const FLAG_DIRECTORY = 2;
const FLAG_ZSTD = 4;

/**
 * The files of a resource file, by their path inside it without a leading slash. Files compressed with zstd are skipped,
 * because Node 20 cannot decompress them.
 * @throws Error if the bytes are not a resource file.
 */
export function readQtResources(bytes: Buffer): Map<string, Buffer> {
  if (bytes.length < 20 || bytes.toString('latin1', 0, 4) !== 'qres') {
    throw new Error('not a Qt resource file: the magic "qres" is missing');
  }
  const [version, tree, data, names] = [4, 8, 12, 16].map((at) => bytes.readUInt32BE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const nodeBytes = version >= 2 ? 22 : 14;
  const files = new Map<string, Buffer>();

  const nameAt = (offset: number): string => {
    const at = names + offset;
    const characters = Buffer.from(bytes.subarray(at + 6, at + 6 + 2 * bytes.readUInt16BE(at)));
    return characters.swap16().toString('utf16le');
  };

  const visit = (index: number, parent: string): void => {
    const at = tree + index * nodeBytes;
    const flags = bytes.readUInt16BE(at + 4);
    const name = index === 0 ? '' : nameAt(bytes.readUInt32BE(at));
    const path = parent === '' ? name : `${parent}/${name}`;
    if ((flags & FLAG_DIRECTORY) !== 0) {
      const [count, first] = [bytes.readUInt32BE(at + 6), bytes.readUInt32BE(at + 10)];
      for (let child = first; child < first + count; child++) visit(child, path);
      return;
    }
    if ((flags & FLAG_ZSTD) !== 0) return;
    const start = data + bytes.readUInt32BE(at + 10);
    const payload = bytes.subarray(start + 4, start + 4 + bytes.readUInt32BE(start));
    files.set(path, (flags & FLAG_ZLIB) !== 0 ? inflateSync(payload.subarray(4)) : payload);
  };
  visit(0, '');
  return files;
}
