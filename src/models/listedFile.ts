import { constants } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { fileProblem } from '../files/fileProblem.js';
import type { Manifest } from './manifest.js';
import { ModelFolderError } from './modelFolderError.js';

/** A manifest's entry for one file of its folder. */
export type ListedFile = Manifest['files'][string];

/** Bytes that are read and hashed at a time. */
const SLICE = 1 << 20;

/** sha256 of a file in lower-case hexadecimal, read as a stream. @param onBytes called with the size of each piece. */
export async function fileSha256(path: string, onBytes: (bytes: number) => void = () => {}): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: SLICE }) as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    onBytes(chunk.byteLength);
  }
  return hash.digest('hex');
}

const wrongSize = (path: string, found: number, { bytes }: ListedFile): string =>
  `${path} has ${found} bytes, expected ${bytes}`;
const wrongSum = (path: string, found: string, { sha256 }: ListedFile): string =>
  `${path} has sha256 ${found}, expected ${sha256}`;

/** Describes a difference between a file and its manifest entry; undefined if there is none. */
export async function listedFileProblem(path: string, expected: ListedFile): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return `${path} is missing`;
  if (!found.isFile()) return `${path} is not a file`;
  if (found.size !== expected.bytes) return wrongSize(path, found.size, expected);
  const sha256 = await fileSha256(path);
  return sha256 === expected.sha256 ? undefined : wrongSum(path, sha256, expected);
}

/** Reads from the beginning of the file. @returns the number of bytes, and their sha256. */
async function readInto(bytes: Uint8Array, file: FileHandle) {
  const hash = createHash('sha256');
  let filled = 0;
  while (filled < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, filled, Math.min(SLICE, bytes.byteLength - filled), filled);
    if (bytesRead === 0) break;
    hash.update(bytes.subarray(filled, filled + bytesRead));
    filled += bytesRead;
  }
  return { filled, sha256: hash.digest('hex') };
}

/**
 * Reads a file that a manifest lists and verifies the bytes that it returns, so that later changes of the file do not
 * matter.
 * @throws ModelFolderError if it is missing, or differs from its manifest entry.
 */
export async function readListedFile(path: string, expected: ListedFile): Promise<Uint8Array> {
  if (expected.bytes > constants.MAX_LENGTH) {
    throw new ModelFolderError(
      `${path} has ${expected.bytes} bytes; this version of Node.js holds ${constants.MAX_LENGTH} in one piece at most`,
    );
  }
  const file = await open(path, 'r').catch((cause: Error) => {
    throw new ModelFolderError(`${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  try {
    const { size } = await file.stat();
    if (size !== expected.bytes) throw new ModelFolderError(wrongSize(path, size, expected));
    // Outside the pool of small buffers, because native code takes it.
    const bytes = Buffer.allocUnsafeSlow(size);
    const { filled, sha256 } = await readInto(bytes, file);
    if (filled !== size) throw new ModelFolderError(wrongSize(path, filled, expected));
    if (sha256 !== expected.sha256) throw new ModelFolderError(wrongSum(path, sha256, expected));
    return bytes;
  } finally {
    await file.close();
  }
}
