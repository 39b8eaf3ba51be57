/** Where a position of a resized axis lies between two cells of the axis that is resized. */
export interface BilinearTap {
  readonly low: number;
  readonly high: number;
  /** Weight of `high`, 0 to 1; `low` has the rest. */
  readonly weight: number;
}

/**
 * The cells of which bilinear interpolation makes a position, as PyTorch's area_pixel_compute_source_index with align_corners false has them:
 * cell edges lie on cell edges, and positions outside the outermost centres take the outermost cells.
 * @param position of the resized axis, from 0
 * @param from cells of the axis that is resized, at least 1
 * @param to cells of the resized axis
 */
export function bilinearTap(position: number, from: number, to: number): BilinearTap {
  const at = Math.max(0, ((position + 0.5) * from) / to - 0.5);
  const low = Math.min(Math.floor(at), from - 1);
  return { low, high: Math.min(low + 1, from - 1), weight: Math.min(1, at - low) };
}
