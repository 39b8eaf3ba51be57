import { CheckpointFileError } from './checkpointFileError.js';

/**
 * An interpreter of pickles (Python's pickletools documents the opcodes) that builds plain containers and calls only the
 * functions that it is given. A pickle is a program: Python's interpreter imports and calls any function that the file names.
 * Here a name outside the table is an error, and all sizes are limited before memory is allocated.
 */

/** A Python function or class that a pickle may name. */
export class PickleGlobal {
  /** Returns the result of a call (REDUCE, OBJ) or a new instance (NEWOBJ); absent if it cannot be called. */
  readonly call: ((args: readonly unknown[]) => unknown) | undefined;

  constructor(call?: (args: readonly unknown[]) => unknown) {
    this.call = call;
  }
}

/** The names and persistent ids that a pickle may use. */
export interface PickleAllowed {
  /** Globals by "module name". */
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** Returns the value of a persistent id. @throws CheckpointFileError for an invalid one. */
  readonly persistent: (id: unknown) => unknown;
}

/** A Python object, of which only the attributes are kept. */
export class PlainObject {
  attributes: unknown;
}

const MAX_STACK = 1_000_000;
const MAX_MEMO = 1_000_000;
const MAX_CONTAINERS = 1_000_000;
/** Maximum bytes of an integer. The longest one that PyTorch writes is the magic number of the format, with 10 bytes. */
const MAX_INTEGER_BYTES = 32;
const MAX_NAME_BYTES = 1000;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder('latin1');

/** Reads a little-endian two's complement integer; returns a number if it is exact, else a bigint. */
function signedInteger(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  if (bytes.length > 0 && bytes.at(-1)! >= 0x80) value -= 1n << BigInt(8 * bytes.length);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Opcodes that PyTorch never writes, with their names: protocols 0 and 1, extension registry, out-of-band buffers. */
const refusedOpcodes: Readonly<Record<string, string>> = {
  I: 'INT',
  L: 'LONG',
  F: 'FLOAT',
  S: 'STRING',
  V: 'UNICODE',
  P: 'PERSID',
  p: 'PUT',
  g: 'GET',
  '\x82': 'EXT1',
  '\x83': 'EXT2',
  '\x84': 'EXT4',
  '\x97': 'NEXT_BUFFER',
  '\x98': 'READONLY_BUFFER',
};

/** The state of one run: stacks, memo and position. */
class PickleMachine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #allowed: PickleAllowed;
  readonly #memo = new Map<number, unknown>();
  readonly #outer: unknown[][] = [];
  #stack: unknown[] = [];
  #depth = 0;
  #containers = 0;
  at: number;

  constructor(bytes: Uint8Array, start: number, allowed: PickleAllowed) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#allowed = allowed;
    this.at = start;
  }

  run(): unknown {
    for (;;) {
      const opcode = this.#readBytes(1)[0]!;
      if (opcode === 0x2e /* STOP */) {
        if (this.#outer.length > 0 || this.#stack.length !== 1) this.#fail('it does not end with exactly one value');
        return this.#stack[0];
      }
      this.#step(String.fromCharCode(opcode));
    }
  }

  #step(opcode: string): void {
    if (!this.#runWithoutResult(opcode)) this.#push(this.#value(opcode));
  }

  /** Runs an opcode that pushes no new value; returns false for any other opcode. */
  #runWithoutResult(opcode: string): boolean {
    switch (opcode) {
      case '\x80': {
        const [protocol] = this.#readBytes(1);
        if (protocol! > 5) this.#fail(`protocol ${protocol} is newer than 5`);
        return true;
      }
      case '\x95': // FRAME: only useful for stream readers
        this.#length(8);
        return true;
      case '(':
        if (this.#depth >= MAX_STACK) this.#fail(`its stack has more than ${MAX_STACK} values`);
        this.#depth += 1;
        this.#outer.push(this.#stack);
        this.#stack = [];
        return true;
      case '0':
        if (this.#stack.length > 0) this.#pop();
        else this.#mark();
        return true;
      case '1':
        this.#mark();
        return true;
      case 'a': {
        const item = this.#pop();
        this.#list().push(item);
        return true;
      }
      case 'e': {
        const items = this.#mark();
        const list = this.#list();
        for (const item of items) list.push(item);
        return true;
      }
      case 's': {
        const items = this.#popMany(2);
        this.#setItems(this.#top(), items);
        return true;
      }
      case 'u': {
        const items = this.#mark();
        this.#setItems(this.#top(), items);
        return true;
      }
      case '\x90': {
        const items = this.#mark();
        const set = this.#top();
        if (!(set instanceof Set)) return this.#fail('ADDITEMS to a value that is not a set');
        for (const item of items) set.add(item);
        return true;
      }
      case 'b': {
        const state = this.#pop();
        const built = this.#top();
        // The state of a container (_metadata of a state dict) is not about weights and is ignored.
        if (built instanceof PlainObject) built.attributes = state;
        else if (!(built instanceof Map)) this.#fail('BUILD of an object that has no state');
        return true;
      }
      case 'q':
        this.#memoize(this.#length(1));
        return true;
      case 'r':
        this.#memoize(this.#length(4));
        return true;
      case '\x94':
        this.#memoize(this.#memo.size);
        return true;
      default:
        return false;
    }
  }

  /** Returns the value that an opcode pushes onto the stack. */
  #value(opcode: string): unknown {
    switch (opcode) {
      case '2':
        return this.#top();
      case 'N':
        return null;
      case '\x88':
        return true;
      case '\x89':
        return false;
      case 'J':
        return this.#number(4, () => this.#view.getInt32(this.at, true));
      case 'K':
        return this.#length(1);
      case 'M':
        return this.#length(2);
      case '\x8a':
        return this.#integer(this.#length(1));
      case '\x8b':
        return this.#integer(this.#length(4));
      case 'G':
        return this.#number(8, () => this.#view.getFloat64(this.at, false));
      case 'X':
        return this.#text(this.#length(4));
      case '\x8c':
        return this.#text(this.#length(1));
      case '\x8d':
        return this.#text(this.#length(8));
      case 'U':
        return latin1.decode(this.#readBytes(this.#length(1)));
      case 'T':
        return latin1.decode(this.#readBytes(this.#length(4)));
      case 'C':
        return this.#readBytes(this.#length(1));
      case 'B':
        return this.#readBytes(this.#length(4));
      case '\x8e':
      case '\x96':
        return this.#readBytes(this.#length(8));
      case ')':
        return [];
      case ']':
        return this.#container([]);
      case '}':
        return this.#container(new Map());
      case '\x8f':
        return this.#container(new Set());
      case 'l':
      case 't':
        return this.#container(this.#mark());
      case '\x85':
        return this.#container(this.#popMany(1));
      case '\x86':
        return this.#container(this.#popMany(2));
      case '\x87':
        return this.#container(this.#popMany(3));
      case 'd': {
        const dict = this.#container(new Map<unknown, unknown>());
        this.#setItems(dict, this.#mark());
        return dict;
      }
      case '\x91':
        return this.#container(new Set(this.#mark()));
      case 'h':
        return this.#readMemo(this.#length(1));
      case 'j':
        return this.#readMemo(this.#length(4));
      case 'c':
        return this.#global(this.#line(), this.#line());
      case '\x93': {
        const [module, name] = this.#popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string') return this.#fail('STACK_GLOBAL without names');
        return this.#global(module, name);
      }
      case 'i': {
        const called = this.#global(this.#line(), this.#line());
        return this.#call(called, this.#mark());
      }
      case 'o': {
        const [called, ...args] = this.#mark();
        return this.#call(called, args);
      }
      case 'R':
      case '\x81': {
        const [called, args] = this.#popMany(2);
        return this.#call(called, args);
      }
      case '\x92': {
        const [called, args, named] = this.#popMany(3);
        if (!(named instanceof Map) || named.size > 0) return this.#fail('NEWOBJ_EX with named arguments');
        return this.#call(called, args);
      }
      case 'Q':
        return this.#guard(() => this.#allowed.persistent(this.#pop()));
      default: {
        const code = `0x${opcode.charCodeAt(0).toString(16).padStart(2, '0')}`;
        const known = refusedOpcodes[opcode];
        return this.#fail(
          known === undefined ? `unknown opcode ${code}` : `opcode ${known} (${code}) is never written by torch.save`,
        );
      }
    }
  }

  #fail(reason: string): never {
    throw new CheckpointFileError(`${reason} (byte ${this.at} of its pickle)`);
  }

  /** Adds the position to errors of an allowed function. */
  #guard<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (error instanceof CheckpointFileError) return this.#fail(error.message);
      throw error;
    }
  }

  #readBytes(length: number): Uint8Array {
    const end = this.at + length;
    if (end > this.#bytes.byteLength) {
      this.#fail(`it needs ${length} bytes, but only ${this.#bytes.byteLength - this.at} are left; is it truncated?`);
    }
    const taken = this.#bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  #number(width: number, read: () => number): number {
    if (this.at + width > this.#bytes.byteLength) this.#readBytes(width);
    const value = read();
    this.at += width;
    return value;
  }

  /** Reads an unsigned integer of 1, 2, 4 or 8 bytes. Above 2^53 it is rounded; all uses reject or ignore such values. */
  #length(width: 1 | 2 | 4 | 8): number {
    return this.#number(width, () => {
      if (width === 1) return this.#view.getUint8(this.at);
      if (width === 2) return this.#view.getUint16(this.at, true);
      if (width === 4) return this.#view.getUint32(this.at, true);
      return Number(this.#view.getBigUint64(this.at, true));
    });
  }

  #integer(width: number): number | bigint {
    if (width > MAX_INTEGER_BYTES) this.#fail(`an integer of ${width} bytes is longer than ${MAX_INTEGER_BYTES} bytes`);
    return signedInteger(this.#readBytes(width));
  }

  #text(length: number): string {
    const bytes = this.#readBytes(length);
    try {
      return strictUtf8.decode(bytes);
    } catch {
      return this.#fail('a text is not UTF-8');
    }
  }

  #line(): string {
    const end = this.#bytes.subarray(this.at, this.at + MAX_NAME_BYTES).indexOf(0x0a);
    if (end < 0) this.#fail(`a name is longer than ${MAX_NAME_BYTES} bytes`);
    const line = this.#text(end);
    this.at += 1;
    return line;
  }

  #push(value: unknown): void {
    if (this.#depth >= MAX_STACK) this.#fail(`its stack has more than ${MAX_STACK} values`);
    this.#depth += 1;
    this.#stack.push(value);
  }

  #top(): unknown {
    if (this.#stack.length === 0) this.#fail('it pops a value from an empty stack');
    return this.#stack.at(-1);
  }

  #pop(): unknown {
    const value = this.#top();
    this.#stack.pop();
    this.#depth -= 1;
    return value;
  }

  #popMany(count: number): unknown[] {
    if (this.#stack.length < count) this.#fail('it pops a value from an empty stack');
    this.#depth -= count;
    return this.#stack.splice(-count);
  }

  /** Removes the last mark and the values after it, and returns these values. */
  #mark(): unknown[] {
    const below = this.#outer.pop();
    if (below === undefined) return this.#fail('it uses a mark that does not exist');
    const items = this.#stack;
    this.#depth -= items.length + 1;
    this.#stack = below;
    return items;
  }

  #container<T>(value: T): T {
    this.#containers += 1;
    if (this.#containers > MAX_CONTAINERS) this.#fail(`it builds more than ${MAX_CONTAINERS} containers`);
    return value;
  }

  #list(): unknown[] {
    const list = this.#top();
    return Array.isArray(list) ? list : this.#fail('APPEND to a value that is not a list');
  }

  #setItems(dict: unknown, items: readonly unknown[]): void {
    if (!(dict instanceof Map)) this.#fail('SETITEMS of a value that is not a dict');
    if (items.length % 2 !== 0) this.#fail('SETITEMS of a key without a value');
    for (let i = 0; i < items.length; i += 2) (dict as Map<unknown, unknown>).set(items[i], items[i + 1]);
  }

  #memoize(index: number): void {
    if (this.#memo.size >= MAX_MEMO) this.#fail(`its memo has more than ${MAX_MEMO} values`);
    this.#memo.set(index, this.#top());
  }

  #readMemo(index: number): unknown {
    if (!this.#memo.has(index)) this.#fail(`it reads entry ${index} of its memo, which does not exist`);
    return this.#memo.get(index);
  }

  #global(module: string, name: string): PickleGlobal {
    const found = this.#allowed.globals.get(`${module} ${name}`);
    if (found === undefined) {
      return this.#fail(
        `the file refers to the Python object ${JSON.stringify(`${module}.${name}`)}, which is refused: only tensors ` +
          'and plain containers are read, and no code is run. If you trust the file, load it in PyTorch and save only ' +
          'its state_dict()',
      );
    }
    return found;
  }

  #call(called: unknown, args: unknown): unknown {
    if (!(called instanceof PickleGlobal) || called.call === undefined)
      return this.#fail('it calls a value that is not a function');
    if (!Array.isArray(args)) return this.#fail('the arguments of a call are not a tuple');
    const { call } = called;
    return this.#guard(() => this.#container(call(args)));
  }
}

/**
 * Reads one pickle.
 * @param start position of the pickle in `bytes`
 * @returns its value, and the position after it. Values are null, booleans, numbers (bigint beyond 2^53), text, Uint8Array,
 *   arrays for lists and tuples, Map, Set, and the results of the allowed functions.
 * @throws CheckpointFileError for a pickle that is malformed, over a limit, or uses anything that is not allowed.
 */
export function unpickle(bytes: Uint8Array, start: number, allowed: PickleAllowed): { value: unknown; end: number } {
  const machine = new PickleMachine(bytes, start, allowed);
  return { value: machine.run(), end: machine.at };
}
