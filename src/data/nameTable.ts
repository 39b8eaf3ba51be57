/**
 * A table of names in two blocks of shared memory: UTF-8 bytes, and the end of each name. Threads share it without copies. The
 * overhead is four bytes per name; an array of strings has an overhead of about fifty bytes per name, in each thread.
 */
export interface NameTable {
  /** All names, concatenated. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** End of each name in `bytes`. */
  readonly ends: Uint32Array<SharedArrayBuffer>;
}

const encoder = new TextEncoder();
// A name may begin with the character that is a byte order mark elsewhere.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** @throws RangeError if the names exceed 4 GiB. */
export function packNames(names: readonly string[]): NameTable {
  const ends = new Uint32Array(new SharedArrayBuffer(names.length * 4));
  let total = 0;
  for (const [i, name] of names.entries()) {
    total += Buffer.byteLength(name);
    if (total > 0xffffffff) throw new RangeError(`the names of ${names.length} images exceed 4 GiB`);
    ends[i] = total;
  }
  const bytes = new Uint8Array(new SharedArrayBuffer(total));
  for (const [i, name] of names.entries()) bytes.set(encoder.encode(name), i === 0 ? 0 : ends[i - 1]!);
  return { bytes, ends };
}

/** Returns name `i` of a table. */
export function nameAt({ bytes, ends }: NameTable, i: number): string {
  // slice() copies: TextDecoder does not accept shared memory.
  return decoder.decode(bytes.slice(i === 0 ? 0 : ends[i - 1]!, ends[i]!));
}
