/** Bits of the lookup table for one code; longer codes are rare. */
export const FAST_BITS = 9;
/** Bits of the lookup table for several codes with their values. */
export const SEVERAL_BITS = 11;

/** Maximum length of a code in bits. */
const MAX_BITS = 16;
/** An entry has, from its lowest bit on: bits to skip, size in bits of the value after the code, coefficients to skip. */
export const BITS_MASK = 31;
export const SIZE_SHIFT = 5;
export const STEP_SHIFT = 9;
/** Maximum coefficients of several codes without an end of block; a lookup of several codes needs so many remaining ones in its block. */
export const MAX_STEPS = 16;
/** Coefficients that an end of block skips: more than 64 plus the longest run, to distinguish it from a run that is too long. */
export const END_OF_BLOCK = 96;

/** A Huffman table for skipping codes and their values without computing coefficients. */
export interface HuffmanTable {
  /** Indexed by the next FAST_BITS bits: the entry of their first code and its value; 0 if the code is longer. */
  readonly fast: Uint16Array;
  /** Indexed by the next SEVERAL_BITS bits: the joint entry of all complete codes, or else as `fast`. Same as `fast` for DC tables. */
  readonly several: Uint16Array;
  /** By code length: the first code value that belongs to a longer code, and the offset from a code to its index in `entries`. */
  readonly ends: Int32Array;
  readonly offsets: Int32Array;
  /** One per symbol, in the order of the codes, without the bits of the code itself. */
  readonly entries: Uint16Array;
}

/** The entry of a code and its value, without the bits of the code itself. */
function entryOf(symbol: number, isDc: boolean): number {
  const size = symbol & 15;
  const run = symbol >> 4;
  const ends = !isDc && size === 0 && run !== 15;
  const step = isDc ? 1 : ends ? END_OF_BLOCK : run + 1;
  return size | (size << SIZE_SHIFT) | (step << STEP_SHIFT);
}

/** Entries for windows of SEVERAL_BITS bits: each covers the complete codes at the start of its window. */
function severalOf(fast: Uint16Array): Uint16Array {
  const several = new Uint16Array(1 << SEVERAL_BITS);
  for (let window = 0; window < several.length; window++) {
    let bits = 0;
    let steps = 0;
    let all = fast[window >> (SEVERAL_BITS - FAST_BITS)]!;
    while (bits < SEVERAL_BITS) {
      const rest = (window << bits) & ((1 << SEVERAL_BITS) - 1);
      const entry = fast[rest >> (SEVERAL_BITS - FAST_BITS)]!;
      const step = entry >> STEP_SHIFT;
      bits += entry & BITS_MASK;
      steps += step;
      // A code that extends beyond the window was looked up with bits that do not belong to it.
      if (entry === 0 || bits > SEVERAL_BITS || (steps > MAX_STEPS && step !== END_OF_BLOCK)) break;
      all = bits | (steps << STEP_SHIFT);
      if (step === END_OF_BLOCK) break;
    }
    several[window] = all;
  }
  return several;
}

/**
 * Plain loops here and in `severalOf`: encoders that optimise their tables give every file others, and `Uint16Array.from` with a function
 * takes longer than checking all codes of a small file.
 */
function tableOf(counts: Uint8Array, symbols: Uint8Array, isDc: boolean): HuffmanTable | undefined {
  // Differences of 8-bit samples have at most 15 bits.
  if (isDc && symbols.some((symbol) => symbol > 15)) return undefined;
  const fast = new Uint16Array(1 << FAST_BITS);
  const ends = new Int32Array(MAX_BITS + 1);
  const offsets = new Int32Array(MAX_BITS + 1);
  const entries = new Uint16Array(symbols.length);
  for (let i = 0; i < symbols.length; i++) entries[i] = entryOf(symbols[i]!, isDc);
  let [code, at] = [0, 0];
  for (let length = 1; length <= MAX_BITS; length++) {
    offsets[length] = at - code;
    for (let i = 0; i < counts[length - 1]!; i++, code++, at++) {
      if (length > FAST_BITS) continue;
      const entry = entries[at]! + length;
      const end = (code + 1) << (FAST_BITS - length);
      for (let window = code << (FAST_BITS - length); window < end; window++) fast[window] = entry;
    }
    if (code > 1 << length) return undefined;
    ends[length] = code;
    code <<= 1;
  }
  return { fast, several: isDc ? fast : severalOf(fast), ends, offsets, entries };
}

/** A table in the form of the file. */
export interface HuffmanCodes {
  /** Number of codes of each length, 1 to 16 bits. */
  readonly counts: Uint8Array;
  /** The symbols in the order of their codes. */
  readonly symbols: Uint8Array;
}

/** A cache: most encoders use the tables that the standard proposes. */
const made = new Map<string, HuffmanTable | undefined>();
const MAX_MADE = 16;

/** @returns undefined for codes that are not a valid table */
export function huffmanTable({ counts, symbols }: HuffmanCodes, isDc: boolean): HuffmanTable | undefined {
  const key = `${isDc} ${String.fromCharCode(...counts, ...symbols)}`;
  const known = made.get(key);
  if (known) return known;
  const table = tableOf(counts, symbols, isDc);
  if (made.size >= MAX_MADE) made.clear();
  made.set(key, table);
  return table;
}

/** The entry of a code of more than FAST_BITS bits, with the bits of the code; 0 if there is no such code. */
export function longCode(table: HuffmanTable, bits: number, count: number): number {
  for (let length = FAST_BITS + 1; length <= MAX_BITS; length++) {
    const code = (bits >>> (count - length)) & ((1 << length) - 1);
    if (code < table.ends[length]!) return table.entries[table.offsets[length]! + code]! + length;
  }
  return 0;
}

/** Adds the tables of a DHT segment, except a truncated one. @returns the number of tables */
export function readHuffmanCodes(
  segment: Uint8Array,
  tables: { readonly dc: Map<number, HuffmanCodes>; readonly ac: Map<number, HuffmanCodes> },
): number {
  let read = 0;
  for (let at = 0; at + 1 + MAX_BITS <= segment.length; read++) {
    const [kind, id] = [segment[at]! >> 4, segment[at]! & 15];
    const counts = segment.subarray(at + 1, at + 1 + MAX_BITS);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const from = at + 1 + MAX_BITS;
    const known = kind === 0 ? tables.dc : tables.ac;
    if (total <= 256 && from + total <= segment.length) {
      known.set(id, { counts, symbols: segment.subarray(from, from + total) });
    } else known.delete(id);
    at = from + total;
  }
  return read;
}
