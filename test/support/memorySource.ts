import { type ByteSource, checkRange } from '../../src/checkpoint/byteSource.js';

/** Bytes in memory as a source that counts the bytes read from it. */
export function memorySource(bytes: Uint8Array, name = 'file.pth'): ByteSource & { readonly bytesRead: () => number } {
  let total = 0;
  const source = {
    name,
    size: bytes.byteLength,
    bytesRead: () => total,
    async read(position: number, length: number) {
      checkRange(source, position, length);
      total += length;
      return bytes.slice(position, position + length);
    },
  };
  return source;
}
