import { setImmediate } from 'node:timers/promises';
import { ImageError } from './imageError.js';
import { EOI, type Frame, type JpegFile, readJpeg, type Scan } from './jpegFile.js';
import { ScanFault, walkScan } from './jpegScan.js';

/** Sequential and progressive frames, with Huffman and with arithmetic codes. */
const READ_FRAMES = [0xc0, 0xc1, 0xc2, 0xc9, 0xca];

/**
 * Longest file whose codes are gone over: 7 ms of a CPU, a fifth to a third of what decoding and resizing such files take. Large
 * photographs are reduced while they are decoded, and it would take longer than that.
 */
const MOST_WALKED_BYTES = 256 * 1024;

/** A JPEG file as it is to be decoded. */
export interface WholeJpeg {
  /** The file, or a copy without what decoders warn of and that costs no pixel. */
  readonly bytes: Uint8Array;
  /** Whether a warning of the decoder means damage. Absent where the coded data have been gone over here. */
  readonly strict: boolean;
}

function damaged(what: string): ImageError {
  return new ImageError('corrupt', `JPEG is damaged: it ${what}; check that it was transferred completely`);
}

/** @throws ImageError `unsupported_format` for what the standard calls JPEG too, and decoders of 8-bit pictures do not read. */
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

/** Whether scans hold every coefficient of every component to its last bit. */
function isComplete(frame: Frame, scans: readonly Scan[]): boolean {
  const progressive = frame.marker === 0xc2;
  return frame.components.every(({ id }) => {
    const own = scans.filter(({ components }) => components.some((component) => component.id === id));
    if (!progressive) return own.length > 0;
    const coefficients = Array.from({ length: 64 }, (_, i) => i);
    return coefficients.every((i) => own.some(({ first, last, low }) => low === 0 && first <= i && i <= last));
  });
}

/** Any bytes are codes to arithmetic decoding: nothing but the end marker says that they are all there. */
const isArithmetic = ({ marker }: Frame): boolean => marker >= 0xc9;

/** The file without bytes between segments, with its end marker, and with bytes in the place of those that make decoders warn. */
function cleaned(bytes: Uint8Array, { parts, oddities, ended }: JpegFile): Uint8Array {
  const kept = parts.reduce((sum, { from, to }) => sum + to - from, 0);
  // Behind the end marker anything may stand, and it is never read.
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
 * Looks for damage that decoders pass over: they fill what is missing with grey, go on behind what they cannot read, and at most
 * warn. Up to 256 KiB a file of one sequential scan, as most are, has its codes gone over, since the decoder looks at nothing
 * behind the last row; larger ones have the decoder's warnings, which leave out the last 8 rows and what is too much. Of files of
 * several scans, progressive ones among them, the decoder reads everything before it gives the first row, and its warnings tell.
 *
 * Harmless are: bytes between segments and behind the end, a missing end marker where all pixels are there, filling behind the
 * data, unknown versions of JFIF's and Adobe's segments.
 * @returns what to decode, and how
 * @throws ImageError `corrupt`, or `unsupported_format` for JPEG of more than 8 bits, or without loss.
 */
export async function checkJpeg(bytes: Uint8Array): Promise<WholeJpeg> {
  const file = readJpeg(bytes);
  const { frame, scans, ended } = file;
  const [first] = scans;
  if (frame) checkKind(frame);
  // What has no header of a picture is the decoder's to name.
  if (frame === undefined || first === undefined) return { bytes, strict: true };
  const walk = bytes.byteLength <= MOST_WALKED_BYTES ? walkScan(bytes, frame, first) : undefined;
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
