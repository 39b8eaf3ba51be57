import type { ByteSource } from './byteSource.js';
import type { Checkpoint } from './checkpoint.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { elementWidth } from './elementTypes.js';
import { unpickle } from './pickleMachine.js';
import { findStateDict } from './stateDict.js';
import { storageOfId, type TorchStorage, torchGlobals } from './torchObjects.js';
import { torchCheckpoint } from './torchTensors.js';
import { inFile, MAX_PICKLE_BYTES } from './torchZip.js';

/**
 * Files that torch.save wrote before PyTorch 1.6 (and writes still with _use_new_zipfile_serialization=False): five
 * pickles one after the other (magic number, protocol, facts of the machine, the saved object, keys of the storages),
 * then for each key the number of elements (int64) and the elements. There are no checksums.
 */

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
/** Each takes a read of its own; a network has one for each tensor. */
const MAX_STORAGES = 100_000;

/** Whether a file begins as the format does: a pickle of protocol 2 or later with an integer of ten bytes. */
export function isTorchLegacy(head: Uint8Array): boolean {
  return head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5 && head.subarray(2, 20).includes(0x8a);
}

/** Where the elements of each storage begin. */
async function placeStorages(
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
        `${file}: it lists the storage ${JSON.stringify(String(key))}, which nothing refers to, or twice`,
      );
    }
    const head = await source.read(at, 8);
    const elements = Number(new DataView(head.buffer, head.byteOffset).getBigInt64(0, true));
    if (elements !== storage.elements) {
      throw new CheckpointFileError(
        `${file}: storage ${key} has ${elements} elements where ${storage.elements} are claimed`,
      );
    }
    at += 8;
    places.set(key, at);
    at += elements * elementWidth[storage.type!];
    if (at > source.size) {
      throw new CheckpointFileError(
        `${file}: storage ${key} ends at byte ${at}, the file at ${source.size}; is it truncated?`,
      );
    }
  }
  return places;
}

/** @throws CheckpointFileError for anything but a sound file of torch.save in this format. */
export async function openTorchLegacy(source: ByteSource): Promise<Checkpoint> {
  const { name: file } = source;
  const head = await source.read(0, Math.min(source.size, MAX_PICKLE_BYTES));
  // Whole storages, before any view; two references to one key must agree on it.
  const storages = new Map<string, TorchStorage>();
  const persistent = (id: unknown): TorchStorage => {
    const whole = storageOfId(Array.isArray(id) ? id.slice(0, 5) : id);
    if (whole.type === undefined) throw new CheckpointFileError(`storage ${whole.key} has no type`);
    const known = storages.get(whole.key);
    if (known !== undefined && (known.type !== whole.type || known.elements !== whole.elements)) {
      throw new CheckpointFileError(`storage ${whole.key} is claimed with two types or lengths`);
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
  if (next() !== MAGIC) throw new CheckpointFileError(`${file} is a pickle, but not one of torch.save`);
  const protocol = next();
  if (protocol !== PROTOCOL)
    throw new CheckpointFileError(`${file}: protocol ${String(protocol)} of torch.save is not ${PROTOCOL}`);
  const machine = next();
  if (!(machine instanceof Map) || machine.get('little_endian') !== true) {
    throw new CheckpointFileError(`${file} was not saved on a little-endian machine; save it again on one`);
  }
  const { tensors, facts } = ((saved) => inFile(file, () => findStateDict(saved)))(next());
  const places = await placeStorages(source, next(), at, storages);
  for (const [name, { storage }] of tensors) {
    if (!places.has(storage.key))
      throw new CheckpointFileError(`${file}: the storage ${storage.key} of "${name}" is missing`);
  }
  return torchCheckpoint(file, 'pytorch-legacy', tensors, facts, (storage, start, length) =>
    source.read(places.get(storage.key)! + start, length),
  );
}
