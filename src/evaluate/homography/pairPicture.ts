import { type Homography, project } from '../../image/homography.js';
import { type DrawnImage, drawMatches } from '../../match/draw.js';
import type { Estimate, MatchedPair } from './matchPair.js';
import { cornersOf, isInFront } from './planarMap.js';
import type { PlanarPair } from './planarPairs.js';

/** Matches in a picture: more lines hide the photographs. */
const MAX_DRAWN = 50;

/**
 * Both photographs with the inliers of the smallest feature distances (without a homography: the matches), and the outline of a in
 * b: dashed white where it truly lies, red where the estimate places it.
 * @returns a PNG file
 */
export function pairPicture(pair: PlanarPair, matched: MatchedPair, { matrix, inliers }: Estimate): Promise<Buffer> {
  const shown = matrix === undefined ? matched.matches : Array.from(inliers, (i) => matched.matches[i]!);
  const best = shown.toSorted((p, q) => p.distance - q.distance).slice(0, MAX_DRAWN);
  const cellOf = ({ cellToPixel }: MatchedPair['gridA']) => ({ width: cellToPixel.scaleX, height: cellToPixel.scaleY });
  const outline = (h: Homography) => cornersOf(pair.a).map((corner) => project(h, corner));
  const outlines: DrawnImage['outlines'] = [
    { points: outline(pair.aToB), colour: 'white', dashed: true },
    // Beyond the horizon there is no outline.
    ...(matrix !== undefined && isInFront(matrix, pair.a)
      ? [{ points: outline(matrix), colour: 'red', dashed: false }]
      : []),
  ];
  return drawMatches(
    { image: pair.a, cell: cellOf(matched.gridA) },
    { image: pair.b, cell: cellOf(matched.gridB), outlines },
    best,
  );
}
