import { createHash } from 'node:crypto';
import type { ImageSource } from './sources.js';

/**
 * What a run's numbers depend on of a source: how many images it has and how they are named (their order follows), with
 * the classes where there are labels. A resumed run compares it.
 */
export function sourceFingerprint({ items, classes }: Pick<ImageSource, 'items' | 'classes'>): string {
  const names = items.map(({ name }) => name);
  const digest = createHash('sha256')
    .update(JSON.stringify([names, classes ?? null]))
    .digest('hex');
  return `${items.length} images, sha256 ${digest.slice(0, 16)}`;
}
