import { readSync } from 'node:fs';
import { Header, type HeaderData, Pax } from 'tar';
import { DataError } from './dataError.js';
import { TAR_BLOCK } from './sourceIndex.js';

/** Bytes that can be read from any place. */
export interface ByteSource {
  readonly size: number;
  /** Up to `length` bytes from `offset`, fewer at the end; valid until the next read. */
  read(offset: number, length: number): Buffer;
}

/** A file of an archive, or a link in it. */
export interface TarMember {
  /** Path with / between the parts and without a leading ./ or /. */
  readonly name: string;
  /** First byte of the content, a multiple of TAR_BLOCK; a link has its target's. */
  readonly offset: number;
  readonly size: number;
  /** Of a member whose content is not in the archive: why. Its size is 0. */
  readonly absent?: string;
}

/** A member as it stands in the archive. */
type Entry = TarMember & {
  /** The path that a link leads to, from the archive's root; undefined where it leads out of the archive. */
  readonly link?: { readonly to: string | undefined; readonly text: string };
};

/** A header and the small files beside it (labels, long names) mostly come with one read. */
const WINDOW = 4096;

/** Long names and attributes are shorter than this by far. */
const MOST_ATTRIBUTE_BYTES = 2 ** 20;

/** An open file as bytes. Reads block: at some microseconds each, waiting for a promise would cost more than reading. */
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

/** Bytes in memory. */
export function memoryBytes(bytes: Buffer): ByteSource {
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
}

/** Links that are followed one after the other; more go round in a circle. */
const MOST_LINKS = 40;

/** A path without empty parts and dots; undefined where it leads out of the root. */
function plainPath(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}

/** A member's path as links write it. */
const keyOf = ({ name }: Entry): string => plainPath(name) ?? name;

/** Where a link leads, as far as the archive goes: through links to folders, and from link to link. */
function followed(members: ReadonlyMap<string, Entry>, entry: Entry): Entry | undefined {
  let found: Entry = entry;
  let steps = 0;
  while (found.link !== undefined) {
    let path = found.link.to;
    let at: Entry | undefined;
    while (path !== undefined && at === undefined) {
      if (++steps > MOST_LINKS) return undefined;
      at = members.get(path);
      if (at !== undefined) break;
      // A folder on the way may be a link itself.
      const parts: string[] = path.split('/');
      const depth = parts.findIndex((_, i) => members.get(parts.slice(0, i).join('/'))?.link !== undefined);
      if (depth < 0) return undefined;
      const folder = members.get(parts.slice(0, depth).join('/'))!.link!.to;
      path = folder === undefined ? undefined : plainPath(`${folder}/${parts.slice(depth).join('/')}`);
    }
    if (at === undefined) return undefined;
    found = at;
  }
  return found;
}

/**
 * The files of a tar archive in its order: walks from header to header and skips what lies between, so that the cost
 * goes with the number of members and not with their bytes. Reads ustar, pax and GNU archives, with long names. Hard
 * and symbolic links are the files that they lead to; where that is not in the archive, `absent` says so. Links to folders
 * are `absent` too: what is in the folder has its place in the archive already.
 * @param path for error messages
 * @throws DataError `unsupported` where a header is damaged or a member is cut short, with the place.
 */
export function* tarMembers(archive: ByteSource, path: string): Generator<TarMember> {
  const members = new Map<string, Entry>();
  let all: ReadonlyMap<string, Entry> | undefined;
  for (const entry of tarEntries(archive, path)) {
    members.set(keyOf(entry), entry);
    if (entry.link === undefined) {
      yield entry;
      continue;
    }
    let target = followed(members, entry);
    if (target === undefined && entry.link.to !== undefined) {
      // It may lead to a later member; the walk over all headers is made once.
      all ??= new Map([...tarEntries(archive, path)].map((one) => [keyOf(one), one]));
      target = followed(all, entry);
    }
    yield target === undefined
      ? {
          name: entry.name,
          offset: 0,
          size: 0,
          absent: `a link to ${entry.link.text}, which is no file of the archive`,
        }
      : { name: entry.name, offset: target.offset, size: target.size, ...(target.absent && { absent: target.absent }) };
  }
}

function* tarEntries(archive: ByteSource, path: string): Generator<Entry> {
  const broken = (what: string, options?: ErrorOptions) =>
    new DataError('unsupported', `${path} cannot be read as a tar archive: ${what}; make or fetch it again`, options);
  let attributes: HeaderData | undefined;
  let globalAttributes: HeaderData | undefined;
  let offset = 0;
  while (offset < archive.size) {
    const block = archive.read(offset, TAR_BLOCK);
    if (offset === 0) refusePacked(block, path);
    if (block.length < TAR_BLOCK) throw broken(`it ends inside a header at byte ${offset}`);
    let header: Header;
    try {
      header = new Header(block, 0, attributes, globalAttributes);
    } catch (cause) {
      throw broken(`bad header at byte ${offset}`, { cause }); // a number that it cannot hold
    }
    // Blocks of zeros end an archive; behind them another one may have been appended.
    if (header.nullBlock) {
      offset += TAR_BLOCK;
      continue;
    }
    if (!header.cksumValid) throw broken(`bad header at byte ${offset}`);
    const content = offset + TAR_BLOCK;
    const size = header.size ?? 0;
    const name = (header.path ?? '').replace(/^(\.?\/)+/, '');
    // The header's own field is cut at 100 bytes.
    const text = String(attributes?.linkpath ?? header.linkpath ?? '');
    if (content + size > archive.size) throw broken(`it ends inside ${name}`);
    const attributeText = (): string => {
      if (size > MOST_ATTRIBUTE_BYTES) throw broken(`attributes of ${size} bytes at byte ${offset}`);
      return archive.read(content, size).toString('utf8');
    };
    const longText = () => attributeText().replace(/\0.*/s, '');
    switch (header.type) {
      case 'ExtendedHeader':
        attributes = Pax.parse(attributeText(), attributes, false);
        break;
      case 'GlobalExtendedHeader':
        globalAttributes = Pax.parse(attributeText(), globalAttributes, true);
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
        yield { name, offset: 0, size: 0, link: { to: plainPath(text), text } };
        attributes = undefined;
        break;
      case 'SymbolicLink': {
        const to = text.startsWith('/') ? undefined : plainPath(`${name.slice(0, name.lastIndexOf('/') + 1)}${text}`);
        yield { name, offset: 0, size: 0, link: { to, text } };
        attributes = undefined;
        break;
      }
      case 'Directory':
      case 'GNUDumpDir':
        attributes = undefined;
        break;
      default:
        yield { name, offset: 0, size: 0, absent: `a member of the kind ${header.type}, which holds no plain file` };
        attributes = undefined;
    }
    offset = content + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
}

/** @throws DataError `unsupported` for an archive that is compressed, from its first bytes. */
function refusePacked(head: Buffer, path: string): void {
  const packed = packedKind(head);
  if (packed === undefined) return;
  throw new DataError(
    'unsupported',
    `${path} is ${packed.what}, not a plain .tar; images of shards are read at their offsets: ${packed.way}`,
  );
}

/** How bytes are packed, from the first of them; undefined where they are not. */
export function packedKind(head: Uint8Array): { readonly what: string; readonly way: string } | undefined {
  const begins = (...bytes: number[]) => bytes.every((byte, i) => head[i] === byte);
  if (begins(0x1f, 0x8b)) return { what: 'packed with gzip', way: 'unpack it with gunzip' };
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return { what: 'packed with Zstandard', way: 'unpack it with unzstd' };
  if (begins(0x42, 0x5a, 0x68)) return { what: 'packed with bzip2', way: 'unpack it with bunzip2' };
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a)) return { what: 'packed with xz', way: 'unpack it with unxz' };
  if (begins(0x50, 0x4b, 3, 4)) return { what: 'a zip archive', way: 'unpack it and pack its files with tar' };
  return undefined;
}
