import { ImageError } from './imageError.js';
import { type HuffmanCodes, readHuffmanCodes } from './jpegHuffman.js';

/** Reads the segments of JPEG files (ITU-T T.81), as far as needed to detect damaged files. */

const MARKER = 0xff;
export const EOI = 0xd9;
const SOI = 0xd8;
const SOS = 0xda;
const DHT = 0xc4;
const DQT = 0xdb;
const DRI = 0xdd;
const APP0 = 0xe0;
const APP14 = 0xee;

/** Markers without a length: RST0 to RST7, SOI, TEM. */
export const isRestart = (marker: number): boolean => marker >= 0xd0 && marker <= 0xd7;
const isBare = (marker: number): boolean => isRestart(marker) || marker === SOI || marker === 0x01;
const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xcf && ![DHT, 0xc8, 0xcc].includes(marker);

export interface FrameComponent {
  readonly id: number;
  /** Number of its blocks in an interleaved unit. */
  readonly h: number;
  readonly v: number;
  /** Number of its quantisation table. */
  readonly table: number;
}

export interface Frame {
  /** SOF0 to SOF15. */
  readonly marker: number;
  readonly precision: number;
  readonly width: number;
  readonly height: number;
  readonly components: readonly FrameComponent[];
}

export interface ScanComponent {
  readonly id: number;
  /** Absent if the file defines none. */
  readonly dc: HuffmanCodes | undefined;
  readonly ac: HuffmanCodes | undefined;
}

/** One scan, with the tables that are in force at its start. */
export interface Scan {
  readonly components: readonly ScanComponent[];
  /** The coefficients, and their lowest bit in the scan (progressive files). */
  readonly first: number;
  readonly last: number;
  readonly low: number;
  /** Quantisation step of the first coefficient (the mean of a block), by the number of the quantisation table. */
  readonly steps: ReadonlyMap<number, number>;
  /** Interleaved units between restart markers; 0 for none. */
  readonly restart: number;
  /** Start of its coded data, and position of the marker after them or of the end of the file. */
  readonly from: number;
  readonly to: number;
}

/** A part of a file that a decoder needs. */
interface Part {
  readonly from: number;
  readonly to: number;
}

export interface JpegFile {
  readonly frame: Frame | undefined;
  readonly scans: readonly Scan[];
  /** Whether an end marker follows the last scan. */
  readonly ended: boolean;
  /** The file without bytes between segments and after the end. */
  readonly parts: readonly Part[];
  /** Bytes of which a decoder warns although it handles them: offset, and a replacement with the same effect. */
  readonly oddities: readonly { readonly at: number; readonly value: number }[];
}

/** End of the coded data that start at `from`: a marker that is not a restart marker, or the end of the file. */
function endOfScan(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(MARKER, from); at >= 0; at = bytes.indexOf(MARKER, at + 1)) {
    if (at + 1 >= bytes.length) return bytes.length;
    const next = bytes[at + 1]!;
    if (next !== 0 && next !== MARKER && !isRestart(next)) return at;
  }
  return bytes.length;
}

function readFrame(bytes: Uint8Array, view: DataView, marker: number, at: number, end: number): Frame | undefined {
  if (end - at < 6) return undefined;
  const count = bytes[at + 5]!;
  if (at + 6 + 3 * count > end) return undefined;
  const components = Array.from({ length: count }, (_, i) => {
    const sampling = bytes[at + 7 + 3 * i]!;
    return { id: bytes[at + 6 + 3 * i]!, h: sampling >> 4, v: sampling & 15, table: bytes[at + 8 + 3 * i]! };
  });
  return { marker, precision: bytes[at]!, height: view.getUint16(at + 1), width: view.getUint16(at + 3), components };
}

/** Adds the tables of a DQT segment: the first step of each. */
function quantisationSteps(segment: Uint8Array, steps: Map<number, number>): void {
  for (let at = 0; at + 2 < segment.length; ) {
    const wide = segment[at]! >> 4 !== 0;
    steps.set(segment[at]! & 15, wide ? segment[at + 1]! * 256 + segment[at + 2]! : segment[at + 1]!);
    at += 1 + 64 * (wide ? 2 : 1);
  }
}

/** Bytes of JFIF and Adobe segments that decoders do not know, and treat like other values. */
function oddity(bytes: Uint8Array, marker: number, at: number, end: number): { at: number; value: number } | undefined {
  const title = String.fromCharCode(...bytes.subarray(at, at + 5));
  // The major version; only 1 exists.
  if (marker === APP0 && title === 'JFIF\0' && end - at >= 7 && bytes[at + 5] !== 1) return { at: at + 5, value: 1 };
  return undefined;
}

/** Adobe's colour transform, 0 to 2. For other values decoders assume YCbCr for three components and YCCK for four. */
function adobeOddity(
  bytes: Uint8Array,
  at: number,
  end: number,
  components: number,
): { at: number; value: number } | undefined {
  const title = String.fromCharCode(...bytes.subarray(at, at + 5));
  if (title !== 'Adobe' || end - at < 12 || bytes[at + 11]! <= 2) return undefined;
  return { at: at + 11, value: components === 4 ? 2 : 1 };
}

/** Normal files have far fewer: some hundred segments of 64 kB for a large profile, about ten scans in a progressive file. */
const MAX_SEGMENTS = 20_000;
const MAX_SCANS = 1000;

function checkCount(count: number, max: number, what: string): void {
  if (count <= max) return;
  throw new ImageError('corrupt', `JPEG is damaged: it has more than ${max} ${what}; encode it again`);
}

/**
 * Reads the segments of a file that starts with SOI; like decoders, it skips other bytes between them.
 * @throws ImageError `corrupt` for a file with so many segments, tables or scans that reading them would take long.
 */
export function readJpeg(bytes: Uint8Array): JpegFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tables = { dc: new Map<number, HuffmanCodes>(), ac: new Map<number, HuffmanCodes>() };
  const scans: Scan[] = [];
  const parts: Part[] = [{ from: 0, to: 2 }];
  const oddities: { at: number; value: number }[] = [];
  const adobe: Part[] = [];
  let frame: Frame | undefined;
  const steps = new Map<number, number>();
  let restart = 0;
  let tablesRead = 0;
  let ended = false;
  let at = 2;
  while (!ended) {
    at = bytes.indexOf(MARKER, at);
    if (at < 0 || at + 1 >= bytes.length) break;
    const marker = bytes[at + 1]!;
    if (marker === MARKER || marker === 0 || isBare(marker)) {
      at += marker === MARKER ? 1 : 2;
      continue;
    }
    if (marker === EOI) {
      // Some cameras write a complete small picture, or an empty one, before the actual image.
      ended = true;
      parts.push({ from: at, to: at + 2 });
      break;
    }
    if (at + 4 > bytes.length) break;
    const [from, end] = [at + 4, at + 2 + view.getUint16(at + 2)];
    if (end < from || end > bytes.length) break;
    if (isFrame(marker)) frame ??= readFrame(bytes, view, marker, from, end);
    else if (marker === DQT) quantisationSteps(bytes.subarray(from, end), steps);
    else if (marker === DHT) tablesRead += readHuffmanCodes(bytes.subarray(from, end), tables);
    else if (marker === DRI && end - from >= 2) restart = view.getUint16(from);
    else if (marker === APP14) adobe.push({ from, to: end });
    const odd = oddity(bytes, marker, from, end);
    if (odd) oddities.push(odd);
    let to = end;
    if (marker === SOS) {
      const count = bytes[from]!;
      if (from + 1 + 2 * count + 3 > end) break;
      to = endOfScan(bytes, end);
      const components = Array.from({ length: count }, (_, i) => {
        const selector = bytes[from + 2 + 2 * i]!;
        return { id: bytes[from + 1 + 2 * i]!, dc: tables.dc.get(selector >> 4), ac: tables.ac.get(selector & 15) };
      });
      const [first, last, bits] = bytes.subarray(from + 1 + 2 * count);
      scans.push({
        components,
        first: first!,
        last: last!,
        low: bits! & 15,
        steps: new Map(steps),
        restart,
        from: end,
        to,
      });
    }
    parts.push({ from: at, to });
    at = to;
    checkCount(parts.length, MAX_SEGMENTS, 'segments');
    checkCount(tablesRead, MAX_SEGMENTS, 'tables');
    checkCount(scans.length, MAX_SCANS, 'scans');
  }
  for (const { from, to } of adobe) {
    const odd = adobeOddity(bytes, from, to, frame?.components.length ?? 0);
    if (odd) oddities.push(odd);
  }
  return { frame, scans, ended, parts, oddities };
}
