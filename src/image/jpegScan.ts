import { type Frame, isRestart, type Scan } from './jpegFile.js';
import {
  BITS_MASK,
  END_OF_BLOCK,
  FAST_BITS,
  type HuffmanTable,
  huffmanTable,
  longCode,
  MAX_STEPS,
  SEVERAL_BITS,
  SIZE_SHIFT,
  STEP_SHIFT,
} from './jpegHuffman.js';

/** Checks the coded data of a sequential JPEG file, code by code, against its header. */

/** Number of coefficients of a block. */
const BLOCK = 64;
const FAST_MASK = (1 << FAST_BITS) - 1;
const SEVERAL_MASK = (1 << SEVERAL_BITS) - 1;
/** Minimum bits in the buffer before a code is read: a code of FAST_BITS and its value. */
const HELD_BITS = 24;
/** Bytes after the data that may be read before their end is detected: those of one unit of ten blocks. */
const SLACK_BYTES = 4096;
/**
 * Maximum magnitude of a block's first coefficient, which is eight times its mean: 1024 for 8-bit samples, plus a margin for encoders
 * that overshoot on purpose (MozJPEG, up to 31 levels). A lost difference shifts all later blocks, often beyond this.
 */
const MAX_MEAN = 1280;
/** Blocks between two pauses: a few milliseconds. */
const BLOCKS_PER_STEP = 20_000;

const RST0 = 0xd0;

const NO_CODE = 'has a code that does not exist';

/** The structure of the only scan of a file. */
interface Layout {
  /** Number of interleaved units of blocks per row, and in total. */
  readonly columns: number;
  readonly units: number;
  /** Height of a unit in pixels. */
  readonly height: number;
  /** Tables of the blocks of one unit. */
  readonly tables: readonly { readonly dc: HuffmanTable; readonly ac: HuffmanTable }[];
  /** Component of each block, and the maximum first coefficient of each component, in its quantisation steps. */
  readonly component: readonly number[];
  readonly largest: readonly number[];
}

/** @returns undefined unless it is a sequential Huffman-coded scan of all components. */
function layoutOf(frame: Frame, scan: Scan): Layout | undefined {
  const { components, width, height } = frame;
  const sequential = (frame.marker === 0xc0 || frame.marker === 0xc1) && frame.precision === 8;
  if (!sequential || scan.components.length !== components.length || width === 0 || height === 0) return undefined;
  const tables: { dc: HuffmanTable; ac: HuffmanTable }[] = [];
  const component: number[] = [];
  const largest: number[] = [];
  const single = components.length === 1;
  for (const [c, { id, ...codes }] of scan.components.entries()) {
    const dc = codes.dc && huffmanTable(codes.dc, true);
    const ac = codes.ac && huffmanTable(codes.ac, false);
    const { h, v, table } = components.find((each) => each.id === id) ?? { h: 0, v: 0, table: 0 };
    largest.push(MAX_MEAN / Math.max(1, scan.steps.get(table) ?? 1) + 1);
    if (h < 1 || h > 4 || v < 1 || v > 4 || !dc || !ac) return undefined;
    // A scan of one component is not interleaved, whatever its sampling.
    for (let i = single ? 1 : h * v; i > 0; i--) {
      tables.push({ dc, ac });
      component.push(c);
    }
  }
  const unitSide = (of: 'h' | 'v') => 8 * (single ? 1 : Math.max(...components.map((each) => each[of])));
  const columns = Math.ceil(width / unitSide('h'));
  return {
    columns,
    units: columns * Math.ceil(height / unitSide('v')),
    height: unitSide('v'),
    tables,
    component,
    largest,
  };
}

/** Coded data without stuffed bytes and markers. */
interface CodedData {
  readonly bytes: Uint8Array;
  /** End of the data before each restart marker, and of all data. */
  readonly ends: readonly number[];
  /** The restart markers. */
  readonly restarts: readonly number[];
}

function codedData(file: Uint8Array, { from, to }: Scan): CodedData {
  const bytes = new Uint8Array(to - from + SLACK_BYTES);
  const ends: number[] = [];
  const restarts: number[] = [];
  let length = 0;
  for (let at = from; at < to; ) {
    const found = file.indexOf(0xff, at);
    const stop = found < 0 ? to : Math.min(found, to);
    bytes.set(file.subarray(at, stop), length);
    length += stop - at;
    at = stop;
    // FF may be repeated before its marker.
    while (at < to && file[at] === 0xff) at++;
    if (at >= to) break;
    const marker = file[at++]!;
    if (marker === 0) bytes[length++] = 0xff;
    else if (isRestart(marker)) {
      ends.push(length);
      restarts.push(marker);
    }
  }
  ends.push(length);
  return { bytes, ends, restarts };
}

/** Whether bytes are padding, which some encoders add. */
function isFilling(bytes: Uint8Array): boolean {
  const first = bytes[0];
  return (first === 0 || first === 0xff) && bytes.every((byte) => byte === first);
}

/** Checks the data of one scan in steps of a few milliseconds. */
export interface ScanWalk {
  /**
   * @returns whether all data are checked and valid
   * @throws ScanFault if the data do not match the header
   */
  step(): boolean;
}

/** Damage of coded data; the message is a sentence without its subject, the file. */
export class ScanFault extends Error {}

/** @returns undefined for scans that cannot be checked: progressive, arithmetic, of 12 bits, or of one component of several. */
export function walkScan(file: Uint8Array, frame: Frame, scan: Scan): ScanWalk | undefined {
  const layout = layoutOf(frame, scan);
  if (layout === undefined) return undefined;
  const { units, columns, tables, component, largest } = layout;
  const blocks = tables.length;
  const { bytes, ends, restarts } = codedData(file, scan);
  const perInterval = scan.restart === 0 ? units : scan.restart;
  const perStep = Math.ceil(BLOCKS_PER_STEP / blocks);

  /** Number of checked units, the restart interval of the next unit, and the next byte of the data. */
  let [unit, interval, at] = [0, 0, 0];
  /** Buffered bits: the lowest `heldCount` bits are valid. */
  let [held, heldCount] = [0, 0];

  /** The previous first coefficient of each component, since files contain differences. */
  const means = largest.map(() => 0);

  const row = (): string => `near row ${Math.floor(unit / columns) * layout.height} of ${frame.height}`;

  /** Checks `unitCount` complete units of the interval. */
  function checkUnits(unitCount: number): void {
    const end = ends[interval]! * 8;
    let [next, bits, count] = [at, held, heldCount];
    for (let u = 0; u < unitCount; u++) {
      let fault: string | undefined;
      for (let b = 0; b < blocks && fault === undefined; b++) {
        const { dc, ac } = tables[b]!;
        while (count < HELD_BITS) {
          bits = (bits << 8) | bytes[next++]!;
          count += 8;
        }
        let entry = dc.fast[(bits >>> (count - FAST_BITS)) & FAST_MASK]!;
        if (entry === 0) {
          entry = longCode(dc, bits, count);
          if (entry === 0) fault = NO_CODE;
          // A long code with a long value may have more bits than the buffer.
          while (count < (entry & BITS_MASK)) {
            bits = (bits << 8) | bytes[next++]!;
            count += 8;
          }
        }
        count -= entry & BITS_MASK;
        const size = (entry >> SIZE_SHIFT) & 15;
        const value = (bits >>> count) & ((1 << size) - 1);
        const c = component[b]!;
        // A value whose first bit is 0 is negative.
        const mean = means[c]! + (size === 0 || value >> (size - 1) === 1 ? value : value - (1 << size) + 1);
        means[c] = mean;
        if (mean > largest[c]! || -mean > largest[c]!) fault ??= 'has samples out of range';
        const { fast, several } = ac;
        for (let k = 1; k < BLOCK; ) {
          while (count < HELD_BITS) {
            bits = (bits << 8) | bytes[next++]!;
            count += 8;
          }
          entry =
            k < BLOCK - MAX_STEPS
              ? several[(bits >>> (count - SEVERAL_BITS)) & SEVERAL_MASK]!
              : fast[(bits >>> (count - FAST_BITS)) & FAST_MASK]!;
          if (entry === 0) {
            entry = longCode(ac, bits, count);
            if (entry === 0) {
              fault = NO_CODE;
              break;
            }
            while (count < (entry & BITS_MASK)) {
              bits = (bits << 8) | bytes[next++]!;
              count += 8;
            }
          }
          count -= entry & BITS_MASK;
          k += entry >> STEP_SHIFT;
          if (k > BLOCK && k < END_OF_BLOCK) fault = `has a block of more than ${BLOCK} coefficients`;
        }
      }
      // Errors found after the end result from the zeros there.
      if (next * 8 - count > end) fault = 'has no more data';
      if (fault === undefined) continue;
      unit += u;
      throw new ScanFault(`${fault} ${row()}`);
    }
    [at, held, heldCount] = [next, bits, count];
    unit += unitCount;
  }

  /** Continues after a restart marker; only padding may precede the marker. */
  function nextInterval(): void {
    const end = ends[interval]!;
    const rest = bytes.subarray(Math.ceil((at * 8 - heldCount) / 8), end);
    if (rest.length > 0 && !isFilling(rest)) throw new ScanFault(`has ${rest.length} bytes of data too many ${row()}`);
    if (unit < units) {
      const [expected, found] = [interval % 8, restarts[interval]];
      if (found === undefined) throw new ScanFault(`has no more data ${row()}`);
      if (found !== RST0 + expected) {
        throw new ScanFault(`has restart marker RST${found - RST0} in the place of RST${expected} ${row()}`);
      }
    }
    [at, held, heldCount] = [end, 0, 0];
    means.fill(0);
    interval++;
  }

  return {
    step: () => {
      for (let left = perStep; left > 0 && unit < units; ) {
        const unitCount = Math.min(left, units - unit, perInterval - (unit % perInterval));
        checkUnits(unitCount);
        left -= unitCount;
        if (unit % perInterval === 0 || unit === units) nextInterval();
      }
      if (unit < units) return false;
      const rest = bytes.subarray(ends[interval - 1], ends.at(-1));
      if (rest.length === 0 || isFilling(rest)) return true;
      throw new ScanFault(`has ${rest.length} bytes of data too many behind its last row`);
    },
  };
}
