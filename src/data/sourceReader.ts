import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SourceIndex } from './sourceIndex.js';

/** Reads the encoded bytes of a source's images. */
export interface SourceReader {
  /** @throws RangeError for an index outside the source, and the file system's error for a file that cannot be read. */
  read(index: number): Promise<Buffer>;
  /** Closes what reading opened. */
  close(): Promise<void>;
}

/** A reader for an index; each thread makes its own. */
export function openReader(index: SourceIndex): SourceReader {
  const { names, storage } = index;
  let file: Promise<FileHandle> | undefined;

  const read = async (item: number): Promise<Buffer> => {
    const name = names[item];
    if (name === undefined) throw new RangeError(`image ${item} is outside the source of ${names.length} images`);
    if (storage.kind === 'files') return readFile(join(storage.root, name));
    const offset = storage.offsets[item]!;
    const size = storage.sizes[item]!;
    // A copy: decoders want memory of their own.
    if (storage.kind === 'memory') return Buffer.from(new Uint8Array(storage.bytes, offset, size));
    file ??= open(storage.path);
    const { bytesRead, buffer } = await (await file).read(Buffer.allocUnsafe(size), 0, size, offset);
    if (bytesRead !== size) throw new Error(`${storage.path} ends inside ${name}`);
    return buffer;
  };

  const close = async (): Promise<void> => {
    await (await file)?.close();
    file = undefined;
  };

  return { read, close };
}
