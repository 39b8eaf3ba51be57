import crc32c from 'crc-32/crc32c.js';

/** CRC-32C, rotated by 15 bits, plus a constant: the masked checksum of TFRecord files. */
function maskedChecksum(bytes: Uint8Array): number {
  const sum = crc32c.buf(bytes) >>> 0;
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0;
}

/**
 * A record of a TFRecord file: length (uint64), its checksum, the bytes, their checksum; little-endian
 * (tensorflow/core/lib/io/record_writer.h).
 */
export function frameRecord(bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(8 + 4 + bytes.length + 4);
  const view = new DataView(framed.buffer);
  view.setBigUint64(0, BigInt(bytes.length), true);
  view.setUint32(8, maskedChecksum(framed.subarray(0, 8)), true);
  framed.set(bytes, 12);
  view.setUint32(12 + bytes.length, maskedChecksum(bytes), true);
  return framed;
}
