import { type FileHandle, open } from 'node:fs/promises';
import { writeChunksAtomically } from './atomicFile.js';
import { encodeHeader, headerLength, parseHeader, SafetensorsError } from './safetensorsHeader.js';
import { type Tensor, tensorBytes, tensorFromBytes } from './tensor.js';

export { SafetensorsError };

/**
 * Safetensors files: u64 header length, JSON header, tensor bytes. Files may exceed the 2 GiB of one read or write call in Node.
 */

export interface SafetensorsFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Bytes of one read call, which may have at most 2^31 - 1. */
const READ_BYTES = 2 ** 30;

/**
 * Parses the bytes of a safetensors file. Tensors share memory with the given bytes if they are aligned.
 * @param name of the file, for errors
 * @throws SafetensorsError for a malformed file (see safetensorsHeader.ts).
 */
export function parseSafetensors(bytes: Uint8Array, name = 'safetensors data'): SafetensorsFile {
  const dataStart = 8 + headerLength(bytes.subarray(0, 8), bytes.byteLength, name);
  const { metadata, places } = parseHeader(bytes.subarray(8, dataStart), bytes.byteLength - dataStart, name);
  const tensors = new Map<string, Tensor>();
  for (const [key, { dtype, shape, start, end }] of places) {
    tensors.set(key, tensorFromBytes(dtype, shape, bytes.subarray(dataStart + start, dataStart + end)));
  }
  return { metadata, tensors };
}

/** Reads exactly `length` bytes at a position. @throws SafetensorsError if the file ends before. */
async function readExactly(file: FileHandle, position: number, length: number, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, Math.min(READ_BYTES, length - done), position + done);
    if (bytesRead === 0)
      throw new SafetensorsError(`${name}: the file ends at byte ${position + done}; is it truncated?`);
    done += bytesRead;
  }
  return bytes;
}

/**
 * Reads a safetensors file, tensor by tensor.
 * @throws SafetensorsError for a malformed file; the file system's error if it cannot be read.
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const dataStart = 8 + headerLength(await readExactly(file, 0, Math.min(8, size), path), size, path);
    const json = await readExactly(file, 8, dataStart - 8, path);
    const { metadata, places } = parseHeader(json, size - dataStart, path);
    const tensors = new Map<string, Tensor>();
    for (const [key, { dtype, shape, start, end }] of places) {
      tensors.set(key, tensorFromBytes(dtype, shape, await readExactly(file, dataStart + start, end - start, path)));
    }
    return { metadata, tensors };
  } finally {
    await file.close();
  }
}

/**
 * The bytes of a safetensors file in pieces: the header, then each tensor's own bytes.
 * @throws SafetensorsError for a tensor with a name that the format reserves.
 */
export function safetensorsPieces(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const { head, ordered } = encodeHeader(tensors, metadata);
  return [head, ...ordered.map((name) => tensorBytes(tensors.get(name)!))];
}

/** Encodes a safetensors file. @throws SafetensorsError as `safetensorsPieces`. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return new Uint8Array(Buffer.concat(safetensorsPieces(tensors, metadata)));
}

/**
 * Writes a safetensors file atomically, tensor by tensor.
 * @throws SafetensorsError as `safetensorsPieces`; the file system's error if it cannot be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeChunksAtomically(path, safetensorsPieces(tensors, metadata));
}
