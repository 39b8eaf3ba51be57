import { createHash } from 'node:crypto';
import type { ImageSource } from './sources.js';

/**
 * Fingerprint of the properties of a source that determine the numbers of a run: number, names and order of the images, and the
 * labels if there are any. A resumed run compares it.
 */
export function sourceFingerprint({
  count,
  nameOf,
  labelled,
}: Pick<ImageSource, 'count' | 'nameOf' | 'labelled'>): string {
  // The digest of JSON.stringify([names, classes ?? null]), computed without holding that text in memory.
  const hash = createHash('sha256').update('[[');
  for (let item = 0; item < count; item++) hash.update(`${item === 0 ? '' : ','}${JSON.stringify(nameOf(item))}`);
  hash.update(`],${JSON.stringify(labelled?.classes ?? null)}]`);
  // Labels by folder follow from the names.
  if (labelled?.origin === 'given') hash.update(JSON.stringify([...labelled.labels]));
  return `${count} images, sha256 ${hash.digest('hex').slice(0, 16)}`;
}
