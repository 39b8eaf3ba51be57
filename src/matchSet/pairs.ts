import { MatchSetError } from './matchSetError.js';

/** Two images by their numbers in the source; `a` is the first of the pair as it was listed. */
export interface ImagePair {
  readonly a: number;
  readonly b: number;
}

/**
 * Checks that each name is that of one image.
 * @throws MatchSetError `bad_images`
 */
export function checkDistinct(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw new MatchSetError('bad_images', `image "${name}" is listed twice; remove one of the two`);
    seen.add(name);
  }
}

/**
 * Checks that images can be named in the output: by relative paths without . and .. as parts, none of which is the folder of another.
 * @throws MatchSetError `bad_images`
 */
export function checkNames(names: readonly string[]): void {
  const odd = names.find((name) => name.split('/').some((part) => part === '' || part === '.' || part === '..'));
  if (odd !== undefined) {
    throw new MatchSetError(
      'bad_images',
      `image "${odd}" is not named by a path relative to the images; pass their folder as --images, and a list of pairs as --pairs`,
    );
  }
  const known = new Set(names);
  for (const name of names) {
    for (let end = name.indexOf('/'); end >= 0; end = name.indexOf('/', end + 1)) {
      const folder = name.slice(0, end);
      if (!known.has(folder)) continue;
      throw new MatchSetError(
        'bad_images',
        `images "${folder}" and "${name}": features.h5 cannot have an image and a folder of the same name; rename one of them`,
      );
    }
  }
}

/** A key that is the same for both orders of a pair. */
const keyOf = ({ a, b }: ImagePair): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

/** The pairs without repetitions, in either order; the first one is kept. */
function distinctPairs(pairs: Iterable<ImagePair>): ImagePair[] {
  const seen = new Set<string>();
  const distinct: ImagePair[] = [];
  for (const pair of pairs) {
    const key = keyOf(pair);
    if (seen.has(key)) continue;
    seen.add(key);
    distinct.push(pair);
  }
  return distinct;
}

/** Names of images in messages. */
const MAX_SHOWN = 5;

/**
 * Reads a list of pairs: one pair of names a line, with a space or a tab between them, as hloc and COLMAP write it. Empty lines and
 * lines that begin with # are skipped, unless they name two of the images. If the line has a tab, names may contain spaces.
 * @param file its name, for errors
 * @param names of the images; a pair names two of them
 * @throws MatchSetError `bad_pairs` naming the line and the value.
 */
export function readPairs(text: string, file: string, names: readonly string[]): ImagePair[] {
  const numbers = new Map(names.map((name, i) => [name, i] as const));
  const numberOf = (name: string): number | undefined => numbers.get(name) ?? numbers.get(name.replace(/^\.\//, ''));
  const pairs: ImagePair[] = [];
  for (const [i, whole] of text.split(/\r?\n/).entries()) {
    const line = i === 0 ? whole.replace(/^\uFEFF/, '') : whole;
    if (line.trim() === '') continue;
    const where = `${file}, line ${i + 1}`;
    const parts = line.includes('\t') ? line.split('\t').map((part) => part.trim()) : line.trim().split(/ +/);
    const found = parts.map(numberOf);
    if (line.startsWith('#') && (parts.length !== 2 || found.includes(undefined))) continue;
    if (parts.length !== 2 || parts.includes('')) {
      throw new MatchSetError(
        'bad_pairs',
        `${where}: "${line.trim()}" is not a pair; write two names with a space between them (a tab if names contain spaces)`,
      );
    }
    const unknown = parts.find((_, at) => found[at] === undefined);
    if (unknown !== undefined) {
      const known = names.slice(0, MAX_SHOWN).join(', ');
      throw new MatchSetError(
        'bad_pairs',
        `${where}: there is no image "${unknown}"; names are paths relative to the images, such as ${known}`,
      );
    }
    const [a, b] = found as [number, number];
    if (a === b) throw new MatchSetError('bad_pairs', `${where}: "${parts[0]}" is paired with itself; name two images`);
    pairs.push({ a, b });
  }
  if (pairs.length > 0) return distinctPairs(pairs);
  throw new MatchSetError('bad_pairs', `${file}: has no pairs; write two names a line`);
}

/** All pairs of the images. */
export function exhaustivePairs(images: readonly number[]): ImagePair[] {
  return images.flatMap((a, i) => images.slice(i + 1).map((b) => ({ a, b })));
}

/**
 * Each image with the images whose embeddings are nearest to its own by cosine similarity; ties go to the first.
 * @param embeddings vectors of one length, by the number of the image; zero vectors are similar to none
 * @param count nearest of each image
 */
export function retrievalPairs(embeddings: ReadonlyMap<number, Float32Array>, count: number): ImagePair[] {
  const images = [...embeddings.keys()];
  const units = images.map((image) => {
    const vector = embeddings.get(image)!;
    const norm = Math.hypot(...vector);
    return Float64Array.from(vector, (value) => (norm === 0 ? 0 : value / norm));
  });
  const pairs = images.flatMap((a, i) => {
    const similar = images.map((_, j) => (i === j ? Number.NEGATIVE_INFINITY : dot(units[i]!, units[j]!)));
    const order = images.map((_, j) => j).sort((j, k) => similar[k]! - similar[j]! || j - k);
    return order.slice(0, Math.min(count, images.length - 1)).map((j) => ({ a, b: images[j]! }));
  });
  return distinctPairs(pairs);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}
