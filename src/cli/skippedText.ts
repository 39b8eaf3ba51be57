import type { SkippedImage } from '../data/sample.js';

/** One line per skipped image, for reports. */
export function skippedText(skipped: readonly Pick<SkippedImage, 'name' | 'reason'>[]): string[] {
  return skipped.map(({ name, reason }) => `${name}: ${reason}`);
}
