/** Builds pickles of protocol 2 opcode by opcode, both as torch.save writes them and malformed ones. */

export type Pickled = Buffer;

const byte = (...values: number[]) => Buffer.from(values);
const text = (value: string) => Buffer.from(value, 'latin1');

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export const none = text('N');

export function str(value: string): Pickled {
  const bytes = Buffer.from(value);
  return Buffer.concat([text('X'), uint32(bytes.length), bytes]);
}

/** An integer of up to 8 bytes. */
export function int(value: number): Pickled {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return Buffer.concat([byte(0x8a, 8), bytes]);
}

export const tuple = (...items: Pickled[]): Pickled => Buffer.concat([text('('), ...items, text('t')]);

export const dict = (entries: Readonly<Record<string, Pickled>>): Pickled =>
  Buffer.concat([text('}('), ...Object.entries(entries).flatMap(([key, value]) => [str(key), value]), text('u')]);

export const global = (module: string, name: string): Pickled => text(`c${module}\n${name}\n`);

export const call = (called: Pickled, ...args: Pickled[]): Pickled =>
  Buffer.concat([called, tuple(...args), text('R')]);

/** An integer of up to 16 bytes. */
export function long(value: bigint): Pickled {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(value & 0xffff_ffff_ffff_ffffn);
  bytes.writeBigUInt64LE(value >> 64n, 8);
  return Buffer.concat([byte(0x8a, 16), bytes]);
}

/** Puts the value on top of the stack into the memo. */
export const remember = (entry: number): Pickled => Buffer.concat([text('r'), uint32(entry)]);

/** A value that is also put into the memo. */
export const remembered = (value: Pickled, entry: number): Pickled => Buffer.concat([value, remember(entry)]);

/** The value of an entry of the memo. */
export const recall = (entry: number): Pickled => Buffer.concat([text('j'), uint32(entry)]);

export const yes = byte(0x88);

export const list = (...items: Pickled[]): Pickled => Buffer.concat([text(']('), ...items, text('e')]);

/**
 * A reference to a storage with a number of elements.
 * @param view a part of it, as files before PyTorch 0.4 refer to storages that others are views of: its first element and its length
 */
export const storage = (
  storageClass: string,
  key: string,
  elements: number,
  view?: { readonly offset: number; readonly elements: number },
): Pickled =>
  Buffer.concat([
    tuple(
      str('storage'),
      storageClass.includes(' ')
        ? global(...(storageClass.split(' ') as [string, string]))
        : global('torch', storageClass),
      str(key),
      str('cpu'),
      int(elements),
      ...(view ? [tuple(str(`${key} view`), int(view.offset), int(view.elements))] : []),
    ),
    text('Q'),
  ]);

export interface TensorClaim {
  readonly shape: readonly number[];
  readonly strides?: readonly number[];
  readonly offset?: number;
}

/** A tensor over a storage, as PyTorch 0.4 and later write it. */
export function rebuilt(of: Pickled, { shape, strides = rowMajor(shape), offset = 0 }: TensorClaim): Pickled {
  const hooks = call(global('collections', 'OrderedDict'));
  return call(
    global('torch._utils', '_rebuild_tensor_v2'),
    of,
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    byte(0x89),
    hooks,
  );
}

function rowMajor(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

/** A complete pickle. */
export const pickle = (value: Pickled): Uint8Array => new Uint8Array(Buffer.concat([byte(0x80, 2), value, text('.')]));
