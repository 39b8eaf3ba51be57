import { type FileHandle, open, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { ABSENT_BLOCK, imageName, type SourceIndex, TAR_BLOCK } from './sourceIndex.js';

/** Reads the encoded images of a source. */
export interface SourceReader {
  /**
   * Reads the bytes of an image.
   * @throws RangeError for an index outside the source, Error with the reason for a file that cannot be read.
   */
  read(index: number): Promise<Buffer>;
  /** Closes open archives. */
  close(): Promise<void>;
}

/**
 * Number of archives that a reader keeps open; only archives that are being read may exceed it. A source may have thousands of
 * shards, more than the usual limit of open files.
 */
const MAX_OPEN = 64;

/** Creates a reader for an index; each thread needs its own. */
export function openReader(index: SourceIndex): SourceReader {
  const { storage } = index;
  const archives = openArchives(storage.kind === 'tar' ? storage.paths : []);

  const read = async (item: number): Promise<Buffer> => {
    if (!(item >= 0 && item < index.count)) {
      throw new RangeError(`image ${item} is outside the source of ${index.count} images`);
    }
    if (storage.kind === 'files') {
      return readFile(resolve(storage.root, imageName(index, item))).catch((cause: unknown) => {
        throw new Error(`it cannot be read: ${fileProblem(cause)}`, { cause });
      });
    }
    const block = storage.places.blocks[item]!;
    if (block === ABSENT_BLOCK) throw new Error('a link or special file whose content is not in the archive');
    const offset = block * TAR_BLOCK;
    const size = storage.places.sizes[item]!;
    // A copy, since decoders need unshared memory.
    if (storage.kind === 'memory') return Buffer.from(new Uint8Array(storage.bytes, offset, size));
    const archive = storage.archives?.[item] ?? 0;
    const { bytesRead, buffer } = await archives.use(archive, (file) =>
      file.read(Buffer.allocUnsafe(size), 0, size, offset),
    );
    if (bytesRead !== size) throw new Error(`${storage.paths[archive]} ends inside ${imageName(index, item)}`);
    return buffer;
  };

  return { read, close: archives.close };
}

interface OpenArchive {
  readonly file: Promise<FileHandle>;
  /** Number of reads in progress. */
  users: number;
}

/** Opens archives at their first read; beyond MAX_OPEN, the least recently used idle archives are closed. */
function openArchives(paths: readonly string[]) {
  const archives = new Map<number, OpenArchive>();

  const opened = (archive: number): OpenArchive => {
    const existing = archives.get(archive);
    if (existing !== undefined) return existing;
    const file = open(paths[archive]!).catch((cause: unknown) => {
      throw new Error(`${paths[archive]} cannot be read: ${fileProblem(cause)}`, { cause });
    });
    // The next read tries to open the file again.
    file.catch(() => archives.delete(archive));
    return { file, users: 0 };
  };

  const use = async <T>(archive: number, read: (file: FileHandle) => Promise<T>): Promise<T> => {
    const used = opened(archive);
    archives.delete(archive);
    archives.set(archive, used); // The map is in order of use; the most recently used archive is the last.
    used.users++;
    try {
      return await read(await used.file);
    } finally {
      used.users--;
      await closeIdle();
    }
  };

  const closeIdle = async (): Promise<void> => {
    for (const [archive, { file, users }] of archives) {
      if (archives.size <= MAX_OPEN) return;
      if (users > 0) continue;
      archives.delete(archive);
      await (await file).close();
    }
  };

  const close = async (): Promise<void> => {
    const files = [...archives.values()].map(({ file }) => file);
    archives.clear();
    for (const file of files) await file.then((opened) => opened.close()).catch(() => undefined);
  };

  return { use, close };
}
