import { CheckpointFileError } from './checkpointFileError.js';
import { type ElementType, elementWidth } from './elementTypes.js';
import { shownValue } from './pickledValue.js';
import { PickleGlobal, PlainObject } from './pickleMachine.js';
import { contiguousStrides, MAX_DIMENSIONS, type StridedView, viewProblem } from './stridedView.js';

/** Objects that torch.save writes, and the allowed Python names of its pickles. */

/** Maximum characters of the key of a storage, which is a number or, in files before PyTorch 1.6, an address. */
const MAX_KEY_CHARS = 100;

/** A storage: a flat array of elements, of which a pickle contains only the key. */
export interface TorchStorage {
  readonly key: string;
  /** Undefined for an untyped storage; its `elements` are bytes. */
  readonly type: ElementType | undefined;
  readonly elements: number;
  /** Offset of the first element in the stored array, in elements (views of legacy files). */
  readonly offset: number;
}

/** A tensor in a storage; its view has been checked against the length of the storage. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly type: ElementType;
  readonly view: StridedView;

  constructor(storage: TorchStorage, type: ElementType, view: StridedView) {
    this.storage = storage;
    this.type = type;
    this.view = view;
  }
}

/** torch.float16 and other dtypes. */
class TorchDtype extends PickleGlobal {
  readonly type: ElementType;

  constructor(type: ElementType) {
    super();
    this.type = type;
  }
}

/** torch.FloatStorage and other storage classes; `type` is undefined for torch.UntypedStorage. */
class StorageClass extends PickleGlobal {
  readonly type: ElementType | undefined;

  constructor(type: ElementType | undefined) {
    super();
    this.type = type;
  }
}

function fail(reason: string): never {
  throw new CheckpointFileError(reason);
}

/** All typed storage classes, by their names in torch. */
const storageClasses: Readonly<Record<string, ElementType>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
  ComplexFloatStorage: 'complex64',
  ComplexDoubleStorage: 'complex128',
};

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * Parses a persistent id, ('storage', class, key, location, elements), in legacy files with a view.
 * @throws CheckpointFileError for an invalid id.
 */
export function storageOfId(id: unknown): TorchStorage {
  if (!Array.isArray(id) || id[0] !== 'storage') {
    return fail(
      `it refers to ${shownValue(Array.isArray(id) && typeof id[0] === 'string' ? id[0] : id)}, not to a storage; it contains a whole module: save its state_dict()`,
    );
  }
  const [, storageClass, key, , elements, view] = id as unknown[];
  if (!(storageClass instanceof StorageClass)) fail('the class of a storage is not one of torch');
  if (typeof key !== 'string' || key.length > MAX_KEY_CHARS) return fail(`the key of a storage is ${shownValue(key)}`);
  if (!isCount(elements)) return fail(`storage ${key} has ${shownValue(elements)} elements`);
  const { type } = storageClass as StorageClass;
  if (view === undefined || view === null) return { key, type, elements, offset: 0 };
  const [, offset, viewed] = Array.isArray(view) ? (view as unknown[]) : [];
  if (!isCount(offset) || !isCount(viewed)) return fail(`the view of storage ${key} is malformed`);
  if (offset + viewed > elements) return fail(`a view of storage ${key} ends past its ${elements} elements`);
  return { key, type, elements: viewed, offset };
}

function isStorage(value: unknown): value is TorchStorage {
  return typeof value === 'object' && value !== null && 'key' in value && 'elements' in value;
}

function integers(value: unknown): number[] {
  if (!Array.isArray(value)) return fail('the sizes or strides of a tensor are not a tuple');
  // Before anything goes over them: a pickle may use one long tuple for any number of tensors.
  if (value.length > MAX_DIMENSIONS)
    return fail(`a tensor has ${value.length} dimensions; the maximum is ${MAX_DIMENSIONS}`);
  if (!value.every(isCount)) return fail('sizes, strides and offset must be non-negative integers');
  return [...value];
}

function rebuild(storage: unknown, offset: unknown, size: unknown, stride: unknown, dtype?: unknown): TorchTensor {
  if (!isStorage(storage)) return fail('a tensor has no storage');
  const shape = integers(size);
  const view = {
    shape,
    strides: stride === undefined ? contiguousStrides(shape) : integers(stride),
    offset: offset as number,
  };
  const type = dtype instanceof TorchDtype ? dtype.type : storage.type;
  if (type === undefined) return fail(`storage ${storage.key} has no type`);
  const elements = storage.type === undefined ? Math.floor(storage.elements / elementWidth[type]) : storage.elements;
  if (storage.type !== undefined && elementWidth[storage.type] !== elementWidth[type]) {
    return fail(`a tensor of ${type} has a storage of ${storage.type}`);
  }
  const problem = viewProblem(view, elements);
  if (problem !== undefined)
    return fail(`a tensor [${shape.join(', ')}] does not fit storage ${storage.key}: ${problem}`);
  return new TorchTensor({ ...storage, type, elements }, type, view);
}

const dict = () => new PickleGlobal(([items]) => dictOf(items));

function dictOf(items: unknown): Map<unknown, unknown> {
  if (items === undefined) return new Map();
  // Python 2 passed the items of an ordered dict as its argument. Only the empty list is supported.
  if (Array.isArray(items) && items.length === 0) return new Map();
  return fail('an ordered dict is built from a list; save the file again with a recent PyTorch');
}

/** An object whose contents are ignored, such as a device. */
const opaque = () => new PickleGlobal(() => null);

const plain = () => new PickleGlobal(() => new PlainObject());

const dtypeNames: readonly ElementType[] = Object.keys(elementWidth) as ElementType[];

/** All Python objects that a pickle may name, by "module name". */
export const torchGlobals: ReadonlyMap<string, PickleGlobal> = new Map<string, PickleGlobal>([
  ['collections OrderedDict', dict()],
  // The state of optimizers; the argument is the class of default values.
  ['collections defaultdict', new PickleGlobal(() => new Map())],
  ['collections Counter', new PickleGlobal(([counts]) => (counts instanceof Map ? counts : new Map()))],
  ['__builtin__ dict', new PickleGlobal()],
  ['builtins dict', new PickleGlobal()],
  ['__builtin__ list', new PickleGlobal()],
  ['builtins list', new PickleGlobal()],
  ['__builtin__ set', opaque()],
  ['builtins set', opaque()],
  // Parsed command lines of training scripts; their attributes are plain values.
  ['argparse Namespace', plain()],
  // Best scores and folders that training scripts save with the weights.
  ['numpy.core.multiarray scalar', opaque()],
  ['numpy._core.multiarray scalar', opaque()],
  ['numpy dtype', plain()],
  ['pathlib PosixPath', opaque()],
  ['pathlib WindowsPath', opaque()],
  // The encoding of bytes in protocol 2.
  ['_codecs encode', opaque()],
  ['torch Size', new PickleGlobal(([sizes]) => sizes ?? [])],
  ['torch device', opaque()],
  ['torch.serialization _get_layout', opaque()],
  ['torch.storage UntypedStorage', new StorageClass(undefined)],
  ['torch UntypedStorage', new StorageClass(undefined)],
  ...Object.entries(storageClasses).map(([name, type]) => [`torch ${name}`, new StorageClass(type)] as const),
  ...dtypeNames.map((type) => [`torch ${type}`, new TorchDtype(type)] as const),
  [
    'torch._utils _rebuild_tensor',
    new PickleGlobal(([storage, offset, size, stride]) => rebuild(storage, offset, size, stride)),
  ],
  [
    'torch._utils _rebuild_tensor_v2',
    new PickleGlobal(([storage, offset, size, stride]) => rebuild(storage, offset, size, stride)),
  ],
  [
    'torch._utils _rebuild_tensor_v3',
    new PickleGlobal(([storage, offset, size, stride, , , dtype]) => rebuild(storage, offset, size, stride, dtype)),
  ],
  ['torch._utils _rebuild_parameter', new PickleGlobal(([data]) => data)],
  ['torch._utils _rebuild_parameter_with_state', new PickleGlobal(([data]) => data)],
]);
