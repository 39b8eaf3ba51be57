import { setImmediate } from 'node:timers/promises';
import { ImageError } from './imageError.js';
import { EOI, type Frame, type JpegFile, readJpeg, type Scan } from './jpegFile.js';
import { ScanFault, walkScan } from './jpegScan.js';

/** Sequential and progressive frames, with Huffman and with arithmetic codes. */
const READ_FRAMES = [0xc0, 0xc1, 0xc2, 0xc9, 0xca];

/**
 * Maximum size of a file whose codes are checked: it takes 7 ms of a CPU, a fifth to a third of the time for decoding and resizing such
 * files. Large photographs are reduced while they are decoded, and the check would take longer than that.
 */
const MAX_WALKED_BYTES = 256 * 1024;

/** A checked JPEG file. */
export interface WholeJpeg {
  /** The file, or a copy without defects of which decoders warn although they affect no pixel. */
  readonly bytes: Uint8Array;
  /** Whether a warning of the decoder means damage. False if the coded data have been checked here. */
  readonly strict: boolean;
}

function damaged(what: string): ImageError {
  return new ImageError('corrupt', `JPEG is damaged: it ${what}; check that it was transferred completely`);
}

/** @throws ImageError `unsupported_format` for kinds of JPEG that 8-bit decoders do not read. */
function checkKind({ marker, precision }: Frame): void {
  const remedy = 'convert it to a standard JPEG (baseline or progressive), PNG or TIFF';
  if (precision !== 8) {
    throw new ImageError(
      'unsupported_format',
      `image is a JPEG of ${precision} bits per sample, which is not supported; ${remedy}`,
    );
  }
  if (READ_FRAMES.includes(marker)) return;
  const name = marker === 0xc3 ? 'a lossless JPEG' : `a JPEG of frame type ${marker - 0xc0}`;
  throw new ImageError('unsupported_format', `image is ${name}, which is not supported; ${remedy}`);
}

/** Whether scans contain every coefficient of every component in full precision. */
function isComplete(frame: Frame, scans: readonly Scan[]): boolean {
  const progressive = frame.marker === 0xc2;
  return frame.components.every(({ id }) => {
    const own = scans.filter(({ components }) => components.some((component) => component.id === id));
    if (!progressive) return own.length > 0;
    const coefficients = Array.from({ length: 64 }, (_, i) => i);
    return coefficients.every((i) => own.some(({ first, last, low }) => low === 0 && first <= i && i <= last));
  });
}

/** In arithmetic coding all bytes are valid codes, so only the end marker shows that the data are complete. */
const isArithmetic = ({ marker }: Frame): boolean => marker >= 0xc9;

/** The file without bytes between segments, with an end marker, and without the values of which decoders warn. */
function cleaned(bytes: Uint8Array, { parts, oddities, ended }: JpegFile): Uint8Array {
  const kept = parts.reduce((sum, { from, to }) => sum + to - from, 0);
  // Bytes after the end marker are never read.
  const tight = kept === parts.at(-1)!.to;
  if (tight && ended && oddities.length === 0) return bytes;
  const usual = oddities.length === 0 ? bytes : Uint8Array.from(bytes);
  for (const { at, value } of oddities) usual[at] = value;
  const result = new Uint8Array(kept + (ended ? 0 : 2));
  let length = 0;
  for (const { from, to } of parts) {
    result.set(usual.subarray(from, to), length);
    length += to - from;
  }
  if (!ended) result.set([0xff, EOI], length);
  return result;
}

/**
 * Checks for damage that decoders ignore: they fill missing data with grey, continue after unreadable data, and at most warn. In
 * files of up to 256 KiB with one sequential scan, as most have, all codes are checked, since the decoder ignores data after the last
 * row. For larger files the decoder's warnings decide, which do not cover the last 8 rows and surplus data. For files with several
 * scans, such as progressive ones, the decoder reads all data before it returns the first row, so its warnings are sufficient.
 *
 * Accepted defects: bytes between segments and after the end, a missing end marker if all pixels are present, padding after the data,
 * unknown versions of JFIF and Adobe segments.
 * @returns the data to decode, and how to treat warnings
 * @throws ImageError `corrupt`, or `unsupported_format` for JPEG with more than 8 bits and lossless JPEG.
 */
export async function checkJpeg(bytes: Uint8Array): Promise<WholeJpeg> {
  const file = readJpeg(bytes);
  const { frame, scans, ended } = file;
  const [first] = scans;
  if (frame) checkKind(frame);
  // For files without an image header, the decoder reports the error.
  if (frame === undefined || first === undefined) return { bytes, strict: true };
  const walk = bytes.byteLength <= MAX_WALKED_BYTES ? walkScan(bytes, frame, first) : undefined;
  if (walk) {
    try {
      while (!walk.step()) await setImmediate();
    } catch (error) {
      throw error instanceof ScanFault ? damaged(error.message) : error;
    }
  } else if (!ended && (isArithmetic(frame) || !isComplete(frame, scans))) {
    throw damaged('ends before its last scan does');
  }
  return { bytes: cleaned(bytes, file), strict: walk === undefined };
}
