/**
 * Reads Qt's binary resource files (.rcc), in which GCompris keeps its pictures.
 *
 * Layout, all integers big-endian: magic `qres`; u32 version, tree offset, data offset, name offset. A tree node has
 * 14 bytes (version 1) or 22 (versions 2 and 3, with a time stamp): u32 name offset, u16 flags (1 zlib, 2 directory,
 * 4 zstd), then a directory's u32 child count and u32 first child, or a file's u16 country, u16 language and u32 data
 * offset. A name is u16 length, u32 hash and UTF-16BE letters; data is u32 length and the payload, which begins with
 * the unpacked length (u32) when compressed by zlib.
 */

import { inflateSync } from 'node:zlib';

const FLAG_ZLIB = 1;
const FLAG_DIRECTORY = 2;
const FLAG_ZSTD = 4;

/**
 * Files of a resource file by their path inside it, without a leading slash.
 * @throws Error when the bytes are no resource file. Files packed with zstd, which Node 20 cannot unpack, are left out.
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
    const letters = Buffer.from(bytes.subarray(at + 6, at + 6 + 2 * bytes.readUInt16BE(at)));
    return letters.swap16().toString('utf16le');
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
