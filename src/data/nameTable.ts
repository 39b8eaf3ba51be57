/**
 * Many names in two blocks of shared memory: UTF-8 bytes, and where each name ends. Threads share it without copies, and
 * a million names cost their own bytes and four more each, where strings in an array cost some fifty more each and in
 * every thread.
 */
export interface NameTable {
  /** All names, one after the other. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** End of each name in `bytes`. */
  readonly ends: Uint32Array<SharedArrayBuffer>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** @throws RangeError over 4 GiB of names. */
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

/** Name `i` of a table. */
export function nameAt({ bytes, ends }: NameTable, i: number): string {
  // Decoders refuse shared memory: a copy.
  return decoder.decode(bytes.slice(i === 0 ? 0 : ends[i - 1]!, ends[i]!));
}
