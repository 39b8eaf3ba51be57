import { writeFile } from 'node:fs/promises';

/** Shared libraries that contain only the names of their dependencies. The dynamic loader can list these, but not load the library. */

const BASE = 64;
const PROGRAM_HEADER = 56;
const SECTION_HEADER = 64;

/** The bytes of an x86-64 ELF shared library that depends on the given ones. It ends with a table of one empty section, as linkers write it. */
export function sharedLibrary(needed: readonly string[]): Buffer {
  const names = Buffer.from(`\0${needed.map((name) => `${name}\0`).join('')}`, 'latin1');
  const padded = Math.ceil(names.length / 8) * 8;
  const headers = BASE + 2 * PROGRAM_HEADER;
  const symbols = headers + padded;
  const dynamic = symbols + 24;
  let at = 1;
  const tags: [tag: number, value: number][] = needed.map((name) => {
    const tag: [number, number] = [1, at];
    at += name.length + 1;
    return tag;
  });
  // STRTAB, STRSZ, SYMTAB, SYMENT, NULL
  tags.push([5, headers], [10, names.length], [6, symbols], [11, 24], [0, 0]);
  const dynamicBytes = tags.length * 16;
  const sections = dynamic + dynamicBytes;
  const bytes = Buffer.alloc(sections + SECTION_HEADER);
  const word = (offset: number, value: number) => bytes.writeBigUInt64LE(BigInt(value), offset);

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  bytes.writeUInt16LE(3, 16); // a shared object
  bytes.writeUInt16LE(62, 18); // x86-64
  bytes.writeUInt32LE(1, 20);
  word(32, BASE);
  word(40, sections);
  for (const [offset, value] of [
    [52, BASE],
    [54, PROGRAM_HEADER],
    [56, 2],
    [58, SECTION_HEADER],
    [60, 1],
  ] as const) {
    bytes.writeUInt16LE(value, offset);
  }
  const segment = (index: number, type: number, start: number, length: number, align: number): void => {
    const header = BASE + index * PROGRAM_HEADER;
    bytes.writeUInt32LE(type, header);
    bytes.writeUInt32LE(6, header + 4); // read and write
    for (const offset of [8, 16, 24]) word(header + offset, start);
    for (const offset of [32, 40]) word(header + offset, length);
    word(header + 48, align);
  };
  segment(0, 1, 0, bytes.length, 4096);
  segment(1, 2, dynamic, dynamicBytes, 8);
  names.copy(bytes, headers);
  for (const [i, [tag, value]] of tags.entries()) {
    word(dynamic + i * 16, tag);
    word(dynamic + i * 16 + 8, value);
  }
  return bytes;
}

export const writeSharedLibrary = (path: string, needed: readonly string[] = []): Promise<void> =>
  writeFile(path, sharedLibrary(needed), { mode: 0o755 });
