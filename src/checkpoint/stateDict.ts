import { CheckpointFileError } from './checkpointFileError.js';
import { shortText, shownValue } from './pickledValue.js';
import { PlainObject } from './pickleMachine.js';
import { TorchTensor } from './torchObjects.js';

/** Finds the weights in the contents of a file of torch.save. */

/** Keys under which training scripts save the weights of a model, the most likely first. */
const MODEL_KEYS = ['model', 'state_dict', 'model_state_dict', 'model_state', 'net', 'network', 'module', 'backbone'];

/**
 * Maximum number of names. The dicts of a pickle may share their tensors, or be one dict under many keys: the product of both
 * numbers would be without a limit otherwise. Checkpoints have some hundreds, with optimizer states some thousands.
 */
const MAX_TENSORS = 100_000;

export interface StateDict {
  /**
   * The weights by name. Names from other dicts are prefixed with the key of the dict and a slash, such as
   * `state_dict_ema/conv1.weight`, or `student/` and `teacher/` in DINO's files.
   */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Numbers and text that are saved with the weights. */
  readonly facts: Readonly<Record<string, number | string>>;
}

/** The tensors of a dict. */
function namedTensors(value: unknown): ReadonlyMap<string, TorchTensor> {
  const tensors = new Map<string, TorchTensor>();
  if (!(value instanceof Map)) return tensors;
  for (const [key, entry] of value) {
    if (typeof key !== 'string' || !(entry instanceof TorchTensor)) continue;
    if (tensors.size === MAX_TENSORS) return tooMany();
    tensors.set(key, entry);
  }
  return tensors;
}

function tooMany(): never {
  throw new CheckpointFileError(`it names more than ${MAX_TENSORS} tensors`);
}

function keysOf(value: Map<unknown, unknown>): string {
  const keys = [...value.keys()]
    .slice(0, 12)
    .map((key) => (typeof key === 'string' ? shortText(key) : shownValue(key)));
  return keys.length === 0 ? 'nothing' : `${keys.join(', ')}${value.size > keys.length ? ', ...' : ''}`;
}

/**
 * Finds the weights: the tensors of the saved dict itself, or of the dict under one of the usual keys. The tensors of other dicts
 * are added with a prefix.
 * @throws CheckpointFileError if there are none, with a description of the contents of the file, or more than MAX_TENSORS.
 */
export function findStateDict(saved: unknown): StateDict {
  if (saved instanceof TorchTensor)
    throw new CheckpointFileError('it contains a single tensor, not the weights of a model');
  if (!(saved instanceof Map)) {
    const kind = saved instanceof PlainObject ? 'an object' : Array.isArray(saved) ? 'a list' : typeof saved;
    throw new CheckpointFileError(`it contains ${kind}, not a dict of weights; save a state_dict()`);
  }
  const facts: Record<string, number | string> = Object.create(null);
  for (const [key, value] of saved) {
    if (typeof key !== 'string' || key.length > 40 || !/^\w+$/.test(key)) continue;
    if (typeof value === 'number' && Number.isFinite(value)) facts[key] = value;
    if (typeof value === 'string' && value.length <= 200) facts[key] = value;
  }
  // One dict may stand under any number of keys: each is searched once.
  const searched = new Map<unknown, ReadonlyMap<string, TorchTensor>>();
  const tensorsOf = (value: unknown): ReadonlyMap<string, TorchTensor> => {
    const known = searched.get(value) ?? namedTensors(value);
    if (value instanceof Map) searched.set(value, known);
    return known;
  };
  const main = MODEL_KEYS.find((key) => tensorsOf(saved.get(key)).size > 0);
  const tensors = new Map(main === undefined ? namedTensors(saved) : tensorsOf(saved.get(main)));
  let named = tensors.size;
  for (const [dict, value] of saved) {
    if (typeof dict !== 'string' || dict === main) continue;
    const found = tensorsOf(value);
    named += found.size;
    if (named > MAX_TENSORS) tooMany();
    for (const [key, tensor] of found) {
      const name = `${dict}/${key}`;
      if (!tensors.has(name)) tensors.set(name, tensor);
    }
  }
  if (tensors.size > 0) return { tensors, facts };
  throw new CheckpointFileError(
    `it contains no weights: its keys are ${keysOf(saved)}; weights are searched for there and one level below`,
  );
}
