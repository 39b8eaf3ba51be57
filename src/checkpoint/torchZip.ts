import { crc32 } from 'node:zlib';
import type { ByteSource } from './byteSource.js';
import type { Checkpoint } from './checkpoint.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { elementWidth } from './elementTypes.js';
import { unpickle } from './pickleMachine.js';
import { findStateDict } from './stateDict.js';
import { storageOfId, torchGlobals } from './torchObjects.js';
import { torchCheckpoint } from './torchTensors.js';
import { readZipDirectory, type ZipEntry, zipEntryStart } from './zipDirectory.js';
import { strangerOfZip } from './zipKinds.js';

/**
 * Files that torch.save writes since PyTorch 1.6: a zip archive of stored entries, `NAME/data.pkl` with the pickle and
 * `NAME/data/KEY` with the bytes of each storage. The archive's checksums find damage in every byte that is used.
 */

/** A pickle holds names and shapes only: 200 bytes for each tensor. */
export const MAX_PICKLE_BYTES = 32 * 2 ** 20;
const CHUNK_BYTES = 4 * 2 ** 20;

/** Reads entries, whole or in part, and compares the checksum of every entry that it touches. */
function entryReader(source: ByteSource) {
  const starts = new Map<string, number>();
  const differs = ({ name }: ZipEntry): never => {
    throw new CheckpointFileError(`${source.name}: ${name} is damaged: its checksum differs; fetch the file again`);
  };
  const startOf = async (entry: ZipEntry): Promise<number> => {
    let start = starts.get(entry.name);
    if (start === undefined) {
      start = await zipEntryStart(source, entry);
      starts.set(entry.name, start);
    }
    return start;
  };
  const sound = new Set<string>();
  return {
    async whole(entry: ZipEntry): Promise<Uint8Array> {
      const bytes = await source.read(await startOf(entry), entry.size);
      if (crc32(bytes) !== entry.crc32) differs(entry);
      sound.add(entry.name);
      return bytes;
    },
    async part(entry: ZipEntry, from: number, length: number): Promise<Uint8Array> {
      const start = await startOf(entry);
      if (!sound.has(entry.name)) {
        let sum = 0;
        for (let at = 0; at < entry.size; at += CHUNK_BYTES) {
          sum = crc32(await source.read(start + at, Math.min(CHUNK_BYTES, entry.size - at)), sum);
        }
        if (sum !== entry.crc32) differs(entry);
        sound.add(entry.name);
      }
      return source.read(start + from, length);
    },
  };
}

/** The archive's root folder: torch.save names it after the file. */
function findRoot(file: string, entries: ReadonlyMap<string, ZipEntry>): string {
  const roots = [...entries.keys()].flatMap((name) => /^([^/]*)\/data\.pkl$/.exec(name)?.[1] ?? []);
  if (roots.length === 1) return roots[0]!;
  const names = [...entries.keys()].slice(0, 5).join(', ');
  throw new CheckpointFileError(
    `${file} is a zip archive but not one of torch.save: it has ${roots.length === 0 ? 'no' : 'more than one'} data.pkl` +
      ` (it holds ${names || 'nothing'}${entries.size > 5 ? ', ...' : ''})`,
  );
}

/** @throws CheckpointFileError for anything but a sound file of torch.save in this format. */
export async function openTorchZip(source: ByteSource): Promise<Checkpoint> {
  const { name: file } = source;
  const entries = await readZipDirectory(source);
  const stranger = strangerOfZip([...entries.keys()]);
  if (stranger !== undefined) throw new CheckpointFileError(`${file} is ${stranger}`);
  const root = findRoot(file, entries);
  const { whole, part } = entryReader(source);
  const order = entries.get(`${root}/byteorder`);
  if (order !== undefined) {
    const text = order.size <= 16 ? new TextDecoder().decode(await whole(order)).trim() : '';
    if (text !== 'little') {
      throw new CheckpointFileError(
        `${file} says that its byte order is ${JSON.stringify(text)}; only "little" is read. Save it again on a little-endian machine`,
      );
    }
  }
  const pickle = entries.get(`${root}/data.pkl`)!;
  if (pickle.size > MAX_PICKLE_BYTES) {
    throw new CheckpointFileError(`${file}: its pickle has ${pickle.size} bytes; ${MAX_PICKLE_BYTES} are the limit`);
  }
  const bytes = await whole(pickle);
  const saved = inFile(file, () => unpickle(bytes, 0, { globals: torchGlobals, persistent: storageOfId }));
  if (saved.end !== bytes.byteLength) throw new CheckpointFileError(`${file}: bytes follow the end of its pickle`);
  const { tensors, facts } = inFile(file, () => findStateDict(saved.value));
  const entryOf = (key: string) => entries.get(`${root}/data/${key}`);
  for (const [name, { storage, type }] of tensors) {
    const entry = entryOf(storage.key);
    if (entry === undefined)
      throw new CheckpointFileError(`${file}: the storage ${storage.key} of "${name}" is missing`);
    const claimed = storage.elements * elementWidth[type];
    if (entry.size !== claimed) {
      throw new CheckpointFileError(
        `${file}: the storage of "${name}" claims ${claimed} bytes, but ${entry.size} are there`,
      );
    }
  }
  return torchCheckpoint(file, 'pytorch', tensors, facts, (storage, start, length) => {
    const entry = entryOf(storage.key)!;
    return length === entry.size ? whole(entry) : part(entry, start, length);
  });
}

/** Puts the file's name before an error of the pickle. */
export function inFile<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof CheckpointFileError)
      throw new CheckpointFileError(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}
