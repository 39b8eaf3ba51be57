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

/** A file of an archive. */
export interface TarMember {
  /** Path with / between the parts and without a leading ./ or /. */
  readonly name: string;
  /** First byte of the content, a multiple of TAR_BLOCK. */
  readonly offset: number;
  readonly size: number;
}

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

/**
 * The files of a tar archive in its order: walks from header to header and skips what lies between, so that the cost
 * goes with the number of members and not with their bytes. Reads ustar, pax and GNU archives, with long names.
 * @param path for error messages
 * @throws DataError `unsupported` where a header is damaged or a member is cut short, with the place.
 */
export function* tarMembers(archive: ByteSource, path: string): Generator<TarMember> {
  const broken = (what: string, options?: ErrorOptions) =>
    new DataError('unsupported', `${path} cannot be read as a tar archive: ${what}; make or fetch it again`, options);
  let attributes: HeaderData | undefined;
  let globalAttributes: HeaderData | undefined;
  let offset = 0;
  while (offset < archive.size) {
    const block = archive.read(offset, TAR_BLOCK);
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
    const name = header.path ?? '';
    if (content + size > archive.size) throw broken(`it ends inside ${name}`);
    const attributeText = (): string => {
      if (size > MOST_ATTRIBUTE_BYTES) throw broken(`attributes of ${size} bytes at byte ${offset}`);
      return archive.read(content, size).toString('utf8');
    };
    switch (header.type) {
      case 'ExtendedHeader':
        attributes = Pax.parse(attributeText(), attributes, false);
        break;
      case 'GlobalExtendedHeader':
        globalAttributes = Pax.parse(attributeText(), globalAttributes, true);
        break;
      case 'NextFileHasLongPath':
      case 'OldGnuLongPath':
        attributes = { ...attributes, path: attributeText().replace(/\0.*/s, '') };
        break;
      case 'NextFileHasLongLinkpath':
        break;
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        yield { name: name.replace(/^(\.?\/)+/, ''), offset: content, size };
        attributes = undefined;
        break;
      default:
        attributes = undefined;
    }
    offset = content + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
}
