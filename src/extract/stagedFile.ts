import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder, writeOutput } from '../files/output.js';
import { syncPath, writeAll } from '../files/syncedFile.js';

/** A whole file: relative to the output folder, with / between folders. */
export interface WrittenFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Bytes that are collected before they are written. */
const BUFFER_BYTES = 2 ** 20;

const PIECE_BYTES = 2 ** 22;

/** A name beside a path that no other process has. */
export const temporaryOf = (path: string): string => join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);

/** Parts of files that several processes write are left by a killed process if they are older than this. */
const ABANDONED_MS = 600_000;

/** Removes what killed processes have left of a file or folder. @param olderMs only what is older than this */
export async function removeLeftovers(path: string, olderMs: number): Promise<void> {
  const folder = dirname(path);
  const prefix = `.${basename(path)}.`;
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix) || !name.endsWith('.tmp')) continue;
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs >= olderMs)
      await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Size and checksum of a file. */
export async function digestOf(path: string): Promise<Pick<WrittenFile, 'bytes' | 'sha256'>> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** What is written beside its place, and appears there when it is whole. */
export interface Staged {
  /** Waits until the content is on the disk. @returns its files */
  finish(): Promise<readonly WrittenFile[]>;
  /** Renames it to its place. */
  commit(): Promise<void>;
  /** Removes it, unless it is in its place. */
  abandon(): Promise<void>;
}

/** A file that is written beside its place. */
export interface StagedFile extends Staged {
  /** Where it is written; for libraries that write files themselves. */
  readonly temporary: string;
  append(bytes: Uint8Array): Promise<void>;
  /** Replaces bytes at the start, which have been appended before. */
  rewriteStart(bytes: Uint8Array): Promise<void>;
}

/**
 * Begins a file of the output folder.
 * @param path relative to the folder, with / between folders; made by this program, never a name of the source
 * @param shared whether other processes may write the file at the same time; otherwise the caller holds the lock of its shard
 * @throws OutputError, as all methods, if the system fails the write
 */
export async function stageFile(out: string, path: string, shared = false): Promise<StagedFile> {
  const target = join(out, path);
  const temporary = temporaryOf(target);
  const writing = <T>(work: () => Promise<T>): Promise<T> => writeOutput('--out', target, work);
  let file: FileHandle | undefined;
  let buffered: Uint8Array[] = [];
  let bufferedBytes = 0;

  const flush = async (): Promise<void> => {
    const bytes = buffered.length === 1 ? buffered[0]! : Buffer.concat(buffered);
    buffered = [];
    bufferedBytes = 0;
    await writeAll(file!, bytes);
  };

  await writing(async () => {
    await makeFolder(dirname(target));
    await removeLeftovers(target, shared ? ABANDONED_MS : Number.NEGATIVE_INFINITY);
    file = await open(temporary, 'wx');
  });
  return {
    temporary,
    append: (bytes) =>
      writing(async () => {
        buffered.push(bytes);
        bufferedBytes += bytes.byteLength;
        if (bufferedBytes >= BUFFER_BYTES) await flush();
      }),
    rewriteStart: (bytes) =>
      writing(async () => {
        await flush();
        await writeAll(file!, bytes, 0);
      }),
    finish: () =>
      writing(async () => {
        await flush();
        await file!.sync();
        await file!.close();
        file = undefined;
        return [{ path, ...(await digestOf(temporary)) }];
      }),
    commit: () =>
      writing(async () => {
        await rename(temporary, target);
        await syncPath(dirname(target));
      }),
    async abandon() {
      await file?.close().catch(() => undefined);
      file = undefined;
      await rm(temporary, { force: true });
    },
  };
}

/**
 * Writes a small file whole: beside its place, synced and renamed.
 * @param shared as for `stageFile`
 * @throws OutputError
 */
export async function writeStaged(out: string, path: string, content: string, shared = false): Promise<void> {
  const staged = await stageFile(out, path, shared);
  try {
    await staged.append(Buffer.from(content));
    await staged.finish();
    await staged.commit();
  } catch (error) {
    await staged.abandon();
    throw error;
  }
}
