import type { Grid } from '../../image/geometry.js';

/** The default of `RansacOptions.threshold` for matches of cells: the distance of adjacent cells of b, in pixels of its original. */
export function inlierThreshold({ cellToPixel: { scaleX, scaleY } }: Pick<Grid, 'cellToPixel'>): number {
  return Math.max(Math.abs(scaleX), Math.abs(scaleY));
}
