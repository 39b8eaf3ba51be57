import { type FileHandle, open } from 'node:fs/promises';

/** The part of the ELF format (64 bits, little-endian; elf(5)) that lists the libraries that a shared library needs. */

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;

async function read(file: FileHandle, path: string, offset: number, bytes: number): Promise<DataView> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, offset);
  if (bytesRead < bytes) throw new Error(`${path} is cut off: it has no ${bytes} bytes at ${offset}`);
  return new DataView(buffer.buffer, buffer.byteOffset, bytes);
}

const word = (view: DataView, offset: number): number => Number(view.getBigUint64(offset, true));

/**
 * Names of the shared libraries that one is linked with, in its order: the NEEDED lines of `readelf -d`.
 * @throws Error if the file is no such library, or not whole.
 */
export async function readNeeded(path: string): Promise<string[]> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const head = size < 64 ? undefined : await read(file, path, 0, 64);
    if (head?.getUint32(0) !== 0x7f454c46 || head.getUint8(4) !== 2 || head.getUint8(5) !== 1)
      throw new Error(`${path} is not a shared library (ELF, 64 bits, little-endian)`);
    // The table of sections is the last thing in a file.
    if (word(head, 40) + head.getUint16(58, true) * head.getUint16(60, true) > size)
      throw new Error(`${path} is cut off: it has ${size} bytes, and its last table lies beyond them`);

    const segments: { type: number; offset: number; address: number; bytes: number }[] = [];
    const [entry, count] = [head.getUint16(54, true), head.getUint16(56, true)];
    const table = await read(file, path, word(head, 32), entry * count);
    for (let i = 0; i < count; i++) {
      const at = i * entry;
      const [offset, address, bytes] = [word(table, at + 8), word(table, at + 16), word(table, at + 32)];
      segments.push({ type: table.getUint32(at, true), offset, address, bytes });
    }
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    if (dynamic === undefined) return [];

    const needed: number[] = [];
    let [strings, stringBytes] = [0, 0];
    const tags = await read(file, path, dynamic.offset, dynamic.bytes);
    for (let at = 0; at + 16 <= dynamic.bytes && word(tags, at) !== DT_NULL; at += 16) {
      const [tag, value] = [word(tags, at), word(tags, at + 8)];
      if (tag === DT_NEEDED) needed.push(value);
      else if (tag === DT_STRTAB) strings = value;
      else if (tag === DT_STRSZ) stringBytes = value;
    }
    const home = segments.find(
      ({ type, address, bytes }) => type === PT_LOAD && strings >= address && strings < address + bytes,
    );
    if (home === undefined) throw new Error(`${path} is damaged: the names of its dynamic section lie in no segment`);
    const { buffer, byteOffset } = await read(file, path, home.offset + strings - home.address, stringBytes);
    const names = Buffer.from(buffer as ArrayBuffer, byteOffset, stringBytes);
    return needed.map((start) => names.toString('latin1', start, names.indexOf(0, start)));
  } finally {
    await file.close();
  }
}
