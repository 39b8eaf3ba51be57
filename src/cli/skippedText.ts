import type { SkippedImage } from '../data/sample.js';

/** Images that were left out, for a report: a line for each. */
export function skippedText(skipped: readonly Pick<SkippedImage, 'name' | 'reason'>[]): string[] {
  return skipped.map(({ name, reason }) => `${name}: ${reason}`);
}
