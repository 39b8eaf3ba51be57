/** Bits that are looked up at once; longer codes are rare. */
export const FAST_BITS = 9;
/** Bits that are looked up at once where they may hold several codes with their values. */
export const SEVERAL_BITS = 11;

/** Bits of the longest code. */
const MOST_BITS = 16;
/** Entries hold bits to go on by, then the size of the value behind the code in bits, then coefficients to go on by. */
export const BITS_MASK = 31;
export const SIZE_SHIFT = 5;
export const STEP_SHIFT = 9;
/** Most coefficients of several codes but for the end of a block; so many must be left of it where they are looked up. */
export const MOST_STEPS = 16;
/** Coefficients that the end of a block goes on by: more than 64 and a run, so that it is told from a run that is too long. */
export const END_OF_BLOCK = 96;

/** A Huffman table, for going over codes and the values behind them without making coefficients of them. */
export interface HuffmanTable {
  /** By the next FAST_BITS bits: what their first code and its value come to; 0 where the code is longer. */
  readonly fast: Uint16Array;
  /** By the next SEVERAL_BITS bits: what all codes that stand whole in them come to, or else as `fast`. Not of DC tables. */
  readonly several: Uint16Array;
  /** By the length of a code: the first code that is longer, and what to add to a code for its place in `entries`. */
  readonly ends: Int32Array;
  readonly offsets: Int32Array;
  /** Per symbol, in the order of the codes, without the code's own bits. */
  readonly entries: Uint16Array;
}

/** What a code and the value behind it come to, without the code's own bits. */
function entryOf(symbol: number, isDc: boolean): number {
  const size = symbol & 15;
  const run = symbol >> 4;
  const ends = !isDc && size === 0 && run !== 15;
  const step = isDc ? 1 : ends ? END_OF_BLOCK : run + 1;
  return size | (size << SIZE_SHIFT) | (step << STEP_SHIFT);
}

/** Entries for windows of SEVERAL_BITS bits: of each, the codes from its start on that stand whole in it. */
function severalOf(fast: Uint16Array): Uint16Array {
  return Uint16Array.from({ length: 1 << SEVERAL_BITS }, (_, window) => {
    let [bits, steps, all] = [0, 0, fast[window >> (SEVERAL_BITS - FAST_BITS)]!];
    while (bits < SEVERAL_BITS) {
      const rest = (window << bits) & ((1 << SEVERAL_BITS) - 1);
      const entry = fast[rest >> (SEVERAL_BITS - FAST_BITS)]!;
      const step = entry >> STEP_SHIFT;
      bits += entry & BITS_MASK;
      steps += step;
      // A code that reaches beyond the window was looked up by bits that are not its own.
      if (entry === 0 || bits > SEVERAL_BITS || (steps > MOST_STEPS && step !== END_OF_BLOCK)) break;
      all = bits | (steps << STEP_SHIFT);
      if (step === END_OF_BLOCK) break;
    }
    return all;
  });
}

function tableOf(counts: Uint8Array, symbols: Uint8Array, isDc: boolean): HuffmanTable | undefined {
  // Differences of 8-bit samples have no more bits.
  if (isDc && symbols.some((symbol) => symbol > 15)) return undefined;
  const fast = new Uint16Array(1 << FAST_BITS);
  const ends = new Int32Array(MOST_BITS + 1);
  const offsets = new Int32Array(MOST_BITS + 1);
  const entries = Uint16Array.from(symbols, (symbol) => entryOf(symbol, isDc));
  let [code, at] = [0, 0];
  for (let length = 1; length <= MOST_BITS; length++) {
    offsets[length] = at - code;
    for (let i = 0; i < counts[length - 1]!; i++, code++, at++) {
      if (length > FAST_BITS) continue;
      fast.fill(entries[at]! + length, code << (FAST_BITS - length), (code + 1) << (FAST_BITS - length));
    }
    if (code > 1 << length) return undefined;
    ends[length] = code;
    code <<= 1;
  }
  return { fast, several: isDc ? fast : severalOf(fast), ends, offsets, entries };
}

/** A table as it stands in a file. */
export interface HuffmanCodes {
  /** Codes of each length, 1 to 16 bits. */
  readonly counts: Uint8Array;
  /** What the codes mean, in their order. */
  readonly symbols: Uint8Array;
}

/** Most writers take the tables that the standard proposes. */
const made = new Map<string, HuffmanTable | undefined>();
const MOST_MADE = 16;

/** @returns undefined where the codes are not those of a table */
export function huffmanTable({ counts, symbols }: HuffmanCodes, isDc: boolean): HuffmanTable | undefined {
  const key = `${isDc} ${String.fromCharCode(...counts, ...symbols)}`;
  const known = made.get(key);
  if (known) return known;
  const table = tableOf(counts, symbols, isDc);
  if (made.size >= MOST_MADE) made.clear();
  made.set(key, table);
  return table;
}

/** The code behind the next FAST_BITS bits where it is longer: its entry with its own bits, or 0 where there is no such code. */
export function longCode(table: HuffmanTable, bits: number, count: number): number {
  for (let length = FAST_BITS + 1; length <= MOST_BITS; length++) {
    const code = (bits >>> (count - length)) & ((1 << length) - 1);
    if (code < table.ends[length]!) return table.entries[table.offsets[length]! + code]! + length;
  }
  return 0;
}

/** Adds the tables of a DHT segment; one that is cut is left out. @returns how many there were */
export function readHuffmanCodes(
  segment: Uint8Array,
  tables: { readonly dc: Map<number, HuffmanCodes>; readonly ac: Map<number, HuffmanCodes> },
): number {
  let read = 0;
  for (let at = 0; at + 1 + MOST_BITS <= segment.length; read++) {
    const [kind, id] = [segment[at]! >> 4, segment[at]! & 15];
    const counts = segment.subarray(at + 1, at + 1 + MOST_BITS);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const from = at + 1 + MOST_BITS;
    const known = kind === 0 ? tables.dc : tables.ac;
    if (total <= 256 && from + total <= segment.length) {
      known.set(id, { counts, symbols: segment.subarray(from, from + total) });
    } else known.delete(id);
    at = from + total;
  }
  return read;
}
