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
import { describeOtherZip } from './zipKinds.js';

/**
 * Files of torch.save since PyTorch 1.6: a zip archive of uncompressed entries, `NAME/data.pkl` with the pickle and
 * `NAME/data/KEY` with the bytes of each storage. The checksums of the archive are verified for all entries that are used.
 */

/** Maximum bytes of a pickle, which contains only names and shapes: about 200 bytes per tensor. */
export const MAX_PICKLE_BYTES = 32 * 2 ** 20;
const CHUNK_BYTES = 4 * 2 ** 20;

/** Reads entries, completely or partly, and verifies the checksum of each entry once. */
function entryReader(source: ByteSource) {
  const starts = new Map<string, number>();
  const failChecksum = ({ name }: ZipEntry): never => {
    throw new CheckpointFileError(`${source.name}: ${name} is damaged: its checksum differs; download the file again`);
  };
  const startOf = async (entry: ZipEntry): Promise<number> => {
    let start = starts.get(entry.name);
    if (start === undefined) {
      start = await zipEntryStart(source, entry);
      starts.set(entry.name, start);
    }
    return start;
  };
  const verified = new Set<string>();
  return {
    async whole(entry: ZipEntry): Promise<Uint8Array> {
      const bytes = await source.read(await startOf(entry), entry.size);
      if (crc32(bytes) !== entry.crc32) failChecksum(entry);
      verified.add(entry.name);
      return bytes;
    },
    async part(entry: ZipEntry, from: number, length: number): Promise<Uint8Array> {
      const start = await startOf(entry);
      if (!verified.has(entry.name)) {
        let sum = 0;
        for (let at = 0; at < entry.size; at += CHUNK_BYTES) {
          sum = crc32(await source.read(start + at, Math.min(CHUNK_BYTES, entry.size - at)), sum);
        }
        if (sum !== entry.crc32) failChecksum(entry);
        verified.add(entry.name);
      }
      return source.read(start + from, length);
    },
  };
}

/** Finds the root folder of the archive, which torch.save names after the file. */
function findRoot(file: string, entries: ReadonlyMap<string, ZipEntry>): string {
  const roots = [...entries.keys()].flatMap((name) => /^([^/]*)\/data\.pkl$/.exec(name)?.[1] ?? []);
  if (roots.length === 1) return roots[0]!;
  const names = [...entries.keys()].slice(0, 5).join(', ');
  throw new CheckpointFileError(
    `${file} is a zip archive but not a file of torch.save: it has ${roots.length === 0 ? 'no' : 'more than one'} data.pkl` +
      ` (it contains ${names || 'nothing'}${entries.size > 5 ? ', ...' : ''})`,
  );
}

/** Opens a file in this format. @throws CheckpointFileError for a malformed or damaged file. */
export async function openTorchZip(source: ByteSource): Promise<Checkpoint> {
  const { name: file } = source;
  const entries = await readZipDirectory(source);
  const description = describeOtherZip([...entries.keys()]);
  if (description !== undefined) throw new CheckpointFileError(`${file} is ${description}`);
  const root = findRoot(file, entries);
  const { whole, part } = entryReader(source);
  const order = entries.get(`${root}/byteorder`);
  if (order !== undefined) {
    const text = order.size <= 16 ? new TextDecoder().decode(await whole(order)).trim() : '';
    if (text !== 'little') {
      throw new CheckpointFileError(
        `${file}: its byte order is ${JSON.stringify(text)}; only "little" is supported. Save it again on a little-endian machine`,
      );
    }
  }
  const pickle = entries.get(`${root}/data.pkl`)!;
  if (pickle.size > MAX_PICKLE_BYTES) {
    throw new CheckpointFileError(`${file}: its pickle has ${pickle.size} bytes; the limit is ${MAX_PICKLE_BYTES}`);
  }
  const bytes = await whole(pickle);
  const saved = inFile(file, () => unpickle(bytes, 0, { globals: torchGlobals, persistent: storageOfId }));
  if (saved.end !== bytes.byteLength)
    throw new CheckpointFileError(`${file}: there are bytes after the end of its pickle`);
  const { tensors, facts } = inFile(file, () => findStateDict(saved.value));
  const entryOf = (key: string) => entries.get(`${root}/data/${key}`);
  for (const [name, { storage, type }] of tensors) {
    const entry = entryOf(storage.key);
    if (entry === undefined)
      throw new CheckpointFileError(`${file}: the storage ${storage.key} of "${name}" is missing`);
    const claimed = storage.elements * elementWidth[type];
    if (entry.size !== claimed) {
      throw new CheckpointFileError(`${file}: the storage of "${name}" claims ${claimed} bytes, but has ${entry.size}`);
    }
  }
  return torchCheckpoint(file, 'pytorch', tensors, facts, (storage, start, length) => {
    const entry = entryOf(storage.key)!;
    return length === entry.size ? whole(entry) : part(entry, start, length);
  });
}

/** Prefixes errors with the name of the file. */
export function inFile<T>(file: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof CheckpointFileError)
      throw new CheckpointFileError(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}
