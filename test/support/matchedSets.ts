import type { Orientation } from '../../src/image/orientation.js';
import type { Size } from '../../src/image/types.js';
import type { ImageFeatures } from '../../src/matchSet/features.js';
import type { MatchedSet } from '../../src/matchSet/output.js';
import type { PairHomography, PairMatches } from '../../src/matchSet/pairMatches.js';

/** Sets of matched images, for the writers of `match-set`, which read places and matches alone. */

/** An image whose cells cover it. */
export function imageOfCells(
  upright: Size,
  { rows, columns }: { readonly rows: number; readonly columns: number },
  orientation: Orientation = 1,
): ImageFeatures {
  return {
    ...{ upright, orientation, rows, columns, channels: 1, stride: 8 },
    descriptors: new Float32Array(rows * columns).fill(1),
    norms: new Float32Array(rows * columns).fill(1),
    cellToPixel: { scaleX: upright.width / columns, scaleY: upright.height / rows, offsetX: 0, offsetY: 0 },
  };
}

/** Matches of pairs of cells [cell of a, cell of b], at the distances 0, 1, ... */
export function matchesOf(cells: readonly (readonly [number, number])[], homography?: PairHomography): PairMatches {
  return {
    source: cells.map(([source]) => source),
    target: cells.map(([, target]) => target),
    distance: cells.map((_, i) => i),
    similarity: cells.map((_, i) => 1 / (1 + i)),
    ...(homography && { homography }),
  };
}

/** @param pairs by the names of their images, a and b with a space between them */
export function matchedSet(
  images: Readonly<Record<string, ImageFeatures>>,
  pairs: Readonly<Record<string, PairMatches>>,
): MatchedSet {
  return {
    names: Object.keys(images),
    pairs: Object.keys(pairs).map((pair) => {
      const [a, b] = pair.split(' ') as [string, string];
      return { a, b };
    }),
    features: async (name) => images[name]!,
    matches: async ({ a, b }) => pairs[`${a} ${b}`]!,
  };
}
