import { type FileHandle, open, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { ABSENT_BLOCK, imageName, type SourceIndex, TAR_BLOCK } from './sourceIndex.js';

/** Reads the encoded bytes of a source's images. */
export interface SourceReader {
  /** @throws RangeError for an index outside the source, Error with the reason for a file that cannot be read. */
  read(index: number): Promise<Buffer>;
  /** Closes what reading opened. */
  close(): Promise<void>;
}

/** Archives held open at once, by each reader; a source may have thousands of shards, a process seldom so many files. */
const MOST_OPEN = 64;

/** A reader for an index; each thread makes its own. */
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
    // A copy: decoders want memory of their own.
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
  /** Reads that are under way. */
  users: number;
}

/** Files that are opened when they are first read; beyond MOST_OPEN the one idle for longest is closed. */
function openArchives(paths: readonly string[]) {
  const archives = new Map<number, OpenArchive>();

  const opened = (archive: number): OpenArchive => {
    const held = archives.get(archive);
    if (held !== undefined) return held;
    const file = open(paths[archive]!).catch((cause: unknown) => {
      throw new Error(`${paths[archive]} cannot be read: ${fileProblem(cause)}`, { cause });
    });
    // Another try opens it anew.
    file.catch(() => archives.delete(archive));
    return { file, users: 0 };
  };

  const use = async <T>(archive: number, read: (file: FileHandle) => Promise<T>): Promise<T> => {
    const held = opened(archive);
    archives.delete(archive);
    archives.set(archive, held); // The last in the map's order: the latest used.
    held.users++;
    try {
      return await read(await held.file);
    } finally {
      held.users--;
      await closeIdle();
    }
  };

  const closeIdle = async (): Promise<void> => {
    for (const [archive, { file, users }] of archives) {
      if (archives.size <= MOST_OPEN) return;
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
