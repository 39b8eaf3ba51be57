import { DataError } from '../data/dataError.js';
import type { SkippedImage } from '../data/sample.js';

/**
 * Rejects an evaluation of fewer than two images: there is no interval over one.
 * @throws DataError `undecodable` where images were skipped, naming the first, else `bad_option`.
 */
export function requireImages(count: number, skipped: readonly SkippedImage[] = []): void {
  if (count >= 2) return;
  const found = `${count === 0 ? 'no image' : 'one image alone'} can be evaluated, and an interval needs two`;
  const [first] = skipped;
  if (first === undefined) throw new DataError('bad_option', `${found}; give more`);
  throw new DataError(
    'undecodable',
    `${found}: ${skipped.length} cannot be decoded, such as ${first.name}: ${first.reason}`,
  );
}
