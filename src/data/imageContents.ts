import { createHash } from 'node:crypto';
import { DataError } from './dataError.js';
import type { ImageSource } from './sources.js';

/**
 * What the images of a source contained when each was first read. Features belong to contents: an image that is another one when it is
 * read again would be measured in place of the first, or kept in a cache under its digest.
 */

export type ReadableSource = Pick<ImageSource, 'count' | 'nameOf' | 'read'>;

/** SHA-256 of each image [count * 32], in memory that threads share; zeros for an image that was not read yet. */
export type ImageDigests = Uint8Array;

const BYTES = 32;
const digestOf = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
/** Stands for an image that cannot be read: it is another one as soon as it can. */
const UNREADABLE = digestOf('unreadable');

const known = new WeakMap<object, ImageDigests>();
const watching = new WeakSet<object>();

/** The digests of a source's images. All who read the source share them. */
export function digestsOf(source: Pick<ImageSource, 'count'>): ImageDigests {
  const found = known.get(source);
  if (found !== undefined) return found;
  const digests = new Uint8Array(new SharedArrayBuffer(source.count * BYTES));
  known.set(source, digests);
  return digests;
}

/** The digest of an image that was read, or could not be; undefined for one that was not read yet. */
export function digestAt(digests: ImageDigests, index: number): Uint8Array | undefined {
  const digest = digests.slice(index * BYTES, (index + 1) * BYTES);
  return digest.some((byte) => byte !== 0) ? digest : undefined;
}

const ADVICE = 'leave the images as they are, and run the command again';

/** Whether an image contains what it did when it was first read, which this may be. */
function isAsBefore(digests: ImageDigests, index: number, digest: Buffer): boolean {
  const before = digestAt(digests, index);
  if (before === undefined) digests.set(digest, index * BYTES);
  return before === undefined || digest.equals(before);
}

/**
 * Reads an image and notes what it contains.
 * @throws what `read` throws; DataError `changed` where it contained something else before, or can no longer be read.
 */
export async function readNoted(
  source: Pick<ReadableSource, 'read' | 'nameOf'>,
  digests: ImageDigests,
  index: number,
): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await source.read(index);
  } catch (cause) {
    if (isAsBefore(digests, index, UNREADABLE)) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError('changed', `${source.nameOf(index)} can no longer be read (${reason}); ${ADVICE}`, { cause });
  }
  if (isAsBefore(digests, index, digestOf(bytes))) return bytes;
  throw new DataError('changed', `${source.nameOf(index)} has changed since it was first read; ${ADVICE}`);
}

/** The source, whose `read` also throws DataError `changed` for an image that is not the one that was read before. */
export function watched<Source extends ReadableSource>(source: Source): Source {
  if (watching.has(source)) return source;
  const digests = digestsOf(source);
  const result = { ...source, read: (index: number) => readNoted(source, digests, index) };
  known.set(result, digests);
  watching.add(result);
  return result;
}

/** Whether an error says that an image has changed: such an image is not one that cannot be decoded. */
export const isChange = (error: unknown): error is DataError => error instanceof DataError && error.code === 'changed';
