import type { ByteSource } from './byteSource.js';
import type { Checkpoint } from './checkpoint.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { elementWidth } from './elementTypes.js';
import { shownValue } from './pickledValue.js';
import { unpickle } from './pickleMachine.js';
import { findStateDict } from './stateDict.js';
import { storageOfId, type TorchStorage, torchGlobals } from './torchObjects.js';
import { torchCheckpoint } from './torchTensors.js';
import { inFile, MAX_PICKLE_BYTES } from './torchZip.js';

/**
 * Files of torch.save before PyTorch 1.6 (or with _use_new_zipfile_serialization=False): five consecutive pickles (magic number,
 * protocol, system information, the saved object, keys of the storages), then for each key the number of elements (int64) and the
 * elements. There are no checksums.
 */

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
/** Maximum number of storages. Each needs a separate read; a network has one per tensor. */
const MAX_STORAGES = 100_000;

/** Whether a file starts like this format: a pickle of protocol 2 to 5 with a long integer (LONG1), the magic number. */
export function isTorchLegacy(head: Uint8Array): boolean {
  return head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5 && head.subarray(2, 20).includes(0x8a);
}

/** Finds the position of the first element of each storage. */
async function locateStorages(
  source: ByteSource,
  keys: unknown,
  start: number,
  storages: ReadonlyMap<string, TorchStorage>,
): Promise<ReadonlyMap<string, number>> {
  const { name: file } = source;
  if (!Array.isArray(keys) || keys.length > MAX_STORAGES)
    throw new CheckpointFileError(`${file}: its list of storages is malformed`);
  const places = new Map<string, number>();
  let at = start;
  for (const key of keys as unknown[]) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (typeof key !== 'string' || storage === undefined || places.has(key)) {
      throw new CheckpointFileError(
        `${file}: it lists the storage ${shownValue(key)} twice, or no tensor refers to it`,
      );
    }
    const head = await source.read(at, 8);
    const elements = Number(new DataView(head.buffer, head.byteOffset).getBigInt64(0, true));
    if (elements !== storage.elements) {
      throw new CheckpointFileError(`${file}: storage ${key} has ${elements} elements instead of ${storage.elements}`);
    }
    at += 8;
    places.set(key, at);
    at += elements * elementWidth[storage.type!];
    if (at > source.size) {
      throw new CheckpointFileError(
        `${file}: storage ${key} ends at byte ${at}, but the file at ${source.size}; is it truncated?`,
      );
    }
  }
  return places;
}

/** Opens a file in this format. @throws CheckpointFileError for a malformed file. */
export async function openTorchLegacy(source: ByteSource): Promise<Checkpoint> {
  const { name: file } = source;
  const head = await source.read(0, Math.min(source.size, MAX_PICKLE_BYTES));
  // Complete storages, without views. All references to a key must agree on its type and length.
  const storages = new Map<string, TorchStorage>();
  const persistent = (id: unknown): TorchStorage => {
    const whole = storageOfId(Array.isArray(id) ? id.slice(0, 5) : id);
    if (whole.type === undefined) throw new CheckpointFileError(`storage ${whole.key} has no type`);
    const known = storages.get(whole.key);
    if (known !== undefined && (known.type !== whole.type || known.elements !== whole.elements)) {
      throw new CheckpointFileError(`storage ${whole.key} is used with two types or lengths`);
    }
    storages.set(whole.key, whole);
    return storageOfId(id);
  };
  let at = 0;
  const next = (): unknown => {
    const { value, end } = inFile(file, () => unpickle(head, at, { globals: torchGlobals, persistent }));
    at = end;
    return value;
  };
  if (next() !== MAGIC) throw new CheckpointFileError(`${file} is a pickle, but not a file of torch.save`);
  const protocol = next();
  if (protocol !== PROTOCOL)
    throw new CheckpointFileError(
      `${file}: protocol ${shownValue(protocol)} of torch.save is not supported, only ${PROTOCOL}`,
    );
  const machine = next();
  if (!(machine instanceof Map) || machine.get('little_endian') !== true) {
    throw new CheckpointFileError(`${file} was not saved on a little-endian machine; save it again on such a machine`);
  }
  const { tensors, facts } = ((saved) => inFile(file, () => findStateDict(saved)))(next());
  const places = await locateStorages(source, next(), at, storages);
  for (const [name, { storage }] of tensors) {
    if (!places.has(storage.key))
      throw new CheckpointFileError(`${file}: the storage ${storage.key} of "${name}" is missing`);
  }
  return torchCheckpoint(file, 'pytorch-legacy', tensors, facts, (storage, start, length) =>
    source.read(places.get(storage.key)! + start, length),
  );
}
