import type { SkippedImage } from '../data/sample.js';

/** Names of the items that were measured: all but those that were skipped. @param names of all items, by their index */
export function namesWithout(names: readonly string[], skipped: readonly SkippedImage[]): string[] {
  const left = new Set(skipped.map(({ index }) => index));
  return names.filter((_, i) => !left.has(i));
}
