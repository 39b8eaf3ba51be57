import { readSync } from 'node:fs';
import { Header, type HeaderData } from 'tar';
import { DataError } from './dataError.js';
import { paxAttributes } from './paxAttributes.js';
import { TAR_BLOCK } from './sourceIndex.js';

/** Bytes with random access. */
export interface ByteSource {
  readonly size: number;
  /** Returns up to `length` bytes from `offset`, fewer at the end. The result is valid until the next read. */
  read(offset: number, length: number): Buffer;
}

/** A file or link in an archive. */
export interface TarMember {
  /** Path separated by /, without a leading /, empty parts or dots. */
  readonly name: string;
  /** First byte of the content, a multiple of TAR_BLOCK; for a link, that of its target. */
  readonly offset: number;
  readonly size: number;
  /** Reason why the content is not in the archive; the size is 0 then. */
  readonly absent?: string;
}

/** A member before links are resolved. */
type Entry = TarMember & {
  /** The target of a link: `to` is its path relative to the archive's root, undefined if outside the archive. */
  readonly link?: { readonly to: string | undefined; readonly text: string };
};

/** Bytes of one read: usually enough for a header and the small members after it (labels, long names). */
const WINDOW = 4096;

/** Maximum bytes of a long name or of extended attributes, which usually are much shorter. */
const MAX_ATTRIBUTE_BYTES = 2 ** 20;

/** Reads an open file. Reads are synchronous: each takes a few microseconds, less than the overhead of a promise. */
export function fileBytes(descriptor: number, size: number): ByteSource {
  const window = Buffer.allocUnsafe(WINDOW);
  let start = 0;
  let filled = 0;
  const fill = (buffer: Buffer, offset: number): Buffer => {
    let done = 0;
    while (done < buffer.length) {
      const count = readSync(descriptor, buffer, done, buffer.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return buffer.subarray(0, done);
  };
  return {
    size,
    read(offset, length) {
      if (length > WINDOW) return fill(Buffer.allocUnsafe(length), offset);
      if (offset < start || offset + length > start + filled) {
        start = offset;
        filled = fill(window, offset).length;
      }
      return window.subarray(offset - start, Math.min(offset - start + length, filled));
    },
  };
}

/** Reads bytes in memory. */
export function memoryBytes(bytes: Buffer): ByteSource {
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
}

/** Maximum length of a chain of links; longer chains are considered cycles. */
const MAX_LINKS = 40;

/** Normalizes a path: removes empty parts and dots. Returns undefined for a path outside the root. */
function normalizePath(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}

/** Name of a member, in the form of resolved link targets; of a path outside the root, what follows its last dots, as tar unpacks it. */
function memberName(path: string): string {
  return normalizePath(path) ?? normalizePath(path.slice(path.lastIndexOf('../') + 3)) ?? path;
}

/** Resolves a link within the archive, including links to folders and links to links. */
function resolveLink(members: ReadonlyMap<string, Entry>, entry: Entry): Entry | undefined {
  let found: Entry = entry;
  let steps = 0;
  while (found.link !== undefined) {
    let path = found.link.to;
    let at: Entry | undefined;
    while (path !== undefined && at === undefined) {
      if (++steps > MAX_LINKS) return undefined;
      at = members.get(path);
      if (at !== undefined) break;
      // A folder of the path may itself be a link.
      const parts: string[] = path.split('/');
      const depth = parts.findIndex((_, i) => members.get(parts.slice(0, i).join('/'))?.link !== undefined);
      if (depth < 0) return undefined;
      const folder = members.get(parts.slice(0, depth).join('/'))!.link!.to;
      path = folder === undefined ? undefined : normalizePath(`${folder}/${parts.slice(depth).join('/')}`);
    }
    if (at === undefined) return undefined;
    found = at;
  }
  return found;
}

/**
 * Yields the files of a tar archive in archive order. Only headers are read, so the cost depends on the number of members and not
 * on their bytes. Supports ustar, pax and GNU archives, with long names. Hard and symbolic links have the content of the files
 * that they point to; if this file is not in the archive, `absent` gives the reason. Links to folders are `absent`, too, because
 * the contents of the folder are members of the archive already.
 * @param path for error messages
 * @throws DataError `unsupported` if the archive is compressed, a header is damaged or a member is truncated, with the position.
 */
export function* tarMembers(archive: ByteSource, path: string): Generator<TarMember> {
  const members = new Map<string, Entry>();
  let all: ReadonlyMap<string, Entry> | undefined;
  for (const entry of tarEntries(archive, path)) {
    members.set(entry.name, entry);
    if (entry.link === undefined) {
      yield entry;
      continue;
    }
    let target = resolveLink(members, entry);
    if (target === undefined && entry.link.to !== undefined) {
      // The target may be a later member. All headers are read only once for this.
      all ??= new Map([...tarEntries(archive, path)].map((one) => [one.name, one]));
      target = resolveLink(all, entry);
    }
    yield target === undefined
      ? {
          name: entry.name,
          offset: 0,
          size: 0,
          absent: `a link to ${entry.link.text}, which is not a file of the archive`,
        }
      : { name: entry.name, offset: target.offset, size: target.size, ...(target.absent && { absent: target.absent }) };
  }
}

function* tarEntries(archive: ByteSource, path: string): Generator<Entry> {
  const broken = (what: string, options?: ErrorOptions) =>
    new DataError(
      'unsupported',
      `${path} cannot be read as a tar archive: ${what}; create or download it again`,
      options,
    );
  let attributes: HeaderData | undefined;
  let globalAttributes: HeaderData | undefined;
  let offset = 0;
  while (offset < archive.size) {
    const block = archive.read(offset, TAR_BLOCK);
    if (offset === 0) rejectCompressed(block, path);
    if (block.length < TAR_BLOCK) throw broken(`it ends inside a header at byte ${offset}`);
    let header: Header;
    try {
      header = new Header(block, 0, attributes, globalAttributes);
    } catch (cause) {
      throw broken(`bad header at byte ${offset}`, { cause }); // an invalid number
    }
    // Blocks of zeros end an archive, but another one may have been appended.
    if (header.nullBlock) {
      offset += TAR_BLOCK;
      continue;
    }
    if (!header.cksumValid) throw broken(`bad header at byte ${offset}`);
    const content = offset + TAR_BLOCK;
    const size = header.size ?? 0;
    const name = memberName(header.path ?? '');
    // The field of the header itself is truncated to 100 bytes.
    const text = String(attributes?.linkpath ?? header.linkpath ?? '');
    if (content + size > archive.size) throw broken(`it ends inside ${name}`);
    const attributeBytes = (): Buffer => {
      if (size > MAX_ATTRIBUTE_BYTES) throw broken(`attributes of ${size} bytes at byte ${offset}`);
      return archive.read(content, size);
    };
    const pax = (before: HeaderData | undefined): HeaderData => {
      const found = paxAttributes(attributeBytes());
      if (found === undefined) throw broken(`bad extended attributes at byte ${content}`);
      return { ...before, ...found };
    };
    const longText = () => attributeBytes().toString('utf8').replace(/\0.*/s, '');
    switch (header.type) {
      case 'ExtendedHeader':
        attributes = pax(attributes);
        break;
      case 'GlobalExtendedHeader':
        globalAttributes = pax(globalAttributes);
        break;
      case 'NextFileHasLongPath':
      case 'OldGnuLongPath':
        attributes = { ...attributes, path: longText() };
        break;
      case 'NextFileHasLongLinkpath':
        attributes = { ...attributes, linkpath: longText() };
        break;
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        yield { name, offset: content, size };
        attributes = undefined;
        break;
      case 'Link':
        yield { name, offset: 0, size: 0, link: { to: normalizePath(text), text } };
        attributes = undefined;
        break;
      case 'SymbolicLink': {
        const to = text.startsWith('/')
          ? undefined
          : normalizePath(`${name.slice(0, name.lastIndexOf('/') + 1)}${text}`);
        yield { name, offset: 0, size: 0, link: { to, text } };
        attributes = undefined;
        break;
      }
      case 'Directory':
      case 'GNUDumpDir':
        attributes = undefined;
        break;
      default:
        yield { name, offset: 0, size: 0, absent: `a member of type ${header.type}, which is not a regular file` };
        attributes = undefined;
    }
    offset = content + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
}

/** @throws DataError `unsupported` if the first bytes of an archive show that it is compressed. */
function rejectCompressed(head: Buffer, path: string): void {
  const compression = compressionOf(head);
  if (compression === undefined) return;
  throw new DataError(
    'unsupported',
    `${path} is ${compression.what}, not a plain .tar; images of shards are read by offset: ${compression.solution}`,
  );
}

/** Detects compression from the first bytes of a file; undefined if there is none. */
export function compressionOf(head: Uint8Array): { readonly what: string; readonly solution: string } | undefined {
  const begins = (...bytes: number[]) => bytes.every((byte, i) => head[i] === byte);
  if (begins(0x1f, 0x8b)) return { what: 'compressed with gzip', solution: 'decompress it with gunzip' };
  if (begins(0x28, 0xb5, 0x2f, 0xfd))
    return { what: 'compressed with Zstandard', solution: 'decompress it with unzstd' };
  if (begins(0x42, 0x5a, 0x68)) return { what: 'compressed with bzip2', solution: 'decompress it with bunzip2' };
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a)) return { what: 'compressed with xz', solution: 'decompress it with unxz' };
  if (begins(0x50, 0x4b, 3, 4)) return { what: 'a zip archive', solution: 'unpack it and archive its files with tar' };
  return undefined;
}
