import { ImageError } from './imageError.js';

/** Bytes of a RIFF header that are not part of its length. */
const HEADER_BYTES = 8;

/** @throws ImageError `corrupt` for a WebP file (RIFF) that is shorter than its header states. */
export function checkWebp(bytes: Uint8Array): void {
  const length = HEADER_BYTES + new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(4, true);
  if (length <= bytes.byteLength) return;
  const what = `it should have ${length} bytes but has ${bytes.byteLength}`;
  throw new ImageError('corrupt', `WebP is damaged: ${what}; check that it was transferred completely`);
}
