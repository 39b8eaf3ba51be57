import type { Size } from './types.js';

/** Maximum segments before the frame header: camera files have some tens, others few. */
const MAX_SEGMENTS = 64;

const MARKER = 0xff;
const SOS = 0xda;
/** Frames of Huffman-coded samples: baseline, extended, progressive. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);
/**
 * Markers that make a file not plain: other frames, EXIF (which may rotate the image), colour profiles, Adobe's colour transform, and
 * markers that are not segments.
 */
function isSpecial(marker: number): boolean {
  const otherFrame = marker >= 0xc0 && marker <= 0xcf && !FRAMES.has(marker) && marker !== 0xc4;
  const app = marker === 0xe1 || marker === 0xe2 || marker === 0xee;
  const bare = marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd9) || marker === MARKER;
  return otherFrame || app || bare;
}

/**
 * The size of a plain JPEG file: 8-bit, three components, no EXIF, no colour profile, no Adobe segment. Most programs write such files,
 * for which libvips need not read the header.
 * @returns undefined for any other file, whether valid or damaged; sharp then reads it
 */
export function plainJpegSize(bytes: Uint8Array): Size | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let size: Size | undefined;
  let at = 2;
  for (let segment = 0; segment < MAX_SEGMENTS && at + 4 <= bytes.length; segment++) {
    if (bytes[at] !== MARKER) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === SOS) return size;
    const length = view.getUint16(at + 2);
    if (isSpecial(marker) || length < 2 || at + 2 + length > bytes.length) return undefined;
    if (FRAMES.has(marker)) {
      if (size !== undefined || length < 8) return undefined;
      const [precision, components] = [bytes[at + 4], bytes[at + 9]];
      size = { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
      if (precision !== 8 || components !== 3 || size.width === 0 || size.height === 0) return undefined;
    }
    at += 2 + length;
  }
  return undefined;
}
