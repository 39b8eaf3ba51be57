import { crc32 } from 'node:zlib';

/** Builds zip archives of stored entries byte by byte, optionally with wrong fields. */

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  /** Values of the central directory that replace the correct ones. */
  readonly claims?: {
    readonly method?: number;
    readonly size?: number;
    readonly packed?: number;
    readonly crc32?: number;
    readonly flags?: number;
  };
}

function record(bytes: number, fill: (view: DataView) => void): Buffer {
  const view = new DataView(new ArrayBuffer(bytes));
  fill(view);
  return Buffer.from(view.buffer);
}

/** @param zip64 writes sizes, offsets and counts into the 64-bit fields, as for archives above 4 GiB. */
export function storedZip(parts: readonly ZipPart[], { zip64 = false } = {}): Uint8Array {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, data, claims = {} } of parts) {
    const nameBytes = Buffer.from(name);
    const {
      method = 0,
      size = data.byteLength,
      packed = data.byteLength,
      crc32: sum = crc32(data),
      flags = 0,
    } = claims;
    const local = record(30, (view) => {
      view.setUint32(0, 0x04034b50, true);
      view.setUint16(8, method, true);
      view.setUint32(14, crc32(data), true);
      view.setUint32(18, data.byteLength, true);
      view.setUint32(22, data.byteLength, true);
      view.setUint16(26, nameBytes.length, true);
    });
    const extra = zip64
      ? record(28, (view) => {
          view.setUint16(0, 1, true);
          view.setUint16(2, 24, true);
          view.setBigUint64(4, BigInt(size), true);
          view.setBigUint64(12, BigInt(packed), true);
          view.setBigUint64(20, BigInt(at), true);
        })
      : Buffer.alloc(0);
    const entry = record(46, (view) => {
      view.setUint32(0, 0x02014b50, true);
      view.setUint16(8, flags, true);
      view.setUint16(10, method, true);
      view.setUint32(16, sum, true);
      view.setUint32(20, zip64 ? 0xffffffff : packed, true);
      view.setUint32(24, zip64 ? 0xffffffff : size, true);
      view.setUint16(28, nameBytes.length, true);
      view.setUint16(30, extra.length, true);
      view.setUint32(42, zip64 ? 0xffffffff : at, true);
    });
    files.push(local, nameBytes, Buffer.from(data));
    directory.push(entry, nameBytes, extra);
    at += local.length + nameBytes.length + data.byteLength;
  }
  const listing = Buffer.concat(directory);
  const tail: Buffer[] = [];
  if (zip64) {
    tail.push(
      record(56, (view) => {
        view.setUint32(0, 0x06064b50, true);
        view.setBigUint64(32, BigInt(parts.length), true);
        view.setBigUint64(40, BigInt(listing.length), true);
        view.setBigUint64(48, BigInt(at), true);
      }),
      record(20, (view) => {
        view.setUint32(0, 0x07064b50, true);
        view.setBigUint64(8, BigInt(at + listing.length), true);
      }),
    );
  }
  tail.push(
    record(22, (view) => {
      view.setUint32(0, 0x06054b50, true);
      view.setUint16(8, zip64 ? 0xffff : parts.length, true);
      view.setUint16(10, zip64 ? 0xffff : parts.length, true);
      view.setUint32(12, zip64 ? 0xffffffff : listing.length, true);
      view.setUint32(16, zip64 ? 0xffffffff : at, true);
    }),
  );
  return new Uint8Array(Buffer.concat([...files, listing, ...tail]));
}
