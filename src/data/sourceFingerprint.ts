import { createHash } from 'node:crypto';
import type { ImageSource } from './sources.js';

/**
 * What a run's numbers depend on of a source: how many images it has, how they are named and in which order, with the
 * classes where there are labels. A resumed run compares it.
 */
export function sourceFingerprint({
  count,
  nameOf,
  labelled,
}: Pick<ImageSource, 'count' | 'nameOf' | 'labelled'>): string {
  // The digest of JSON.stringify([names, classes ?? null]), without that text in memory: a million names are long.
  const hash = createHash('sha256').update('[[');
  for (let item = 0; item < count; item++) hash.update(`${item === 0 ? '' : ','}${JSON.stringify(nameOf(item))}`);
  hash.update(`],${JSON.stringify(labelled?.classes ?? null)}]`);
  // Labels of folders follow from the names.
  if (labelled?.origin === 'given') hash.update(JSON.stringify([...labelled.labels]));
  return `${count} images, sha256 ${hash.digest('hex').slice(0, 16)}`;
}
