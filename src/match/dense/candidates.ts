/** The few nearest found so far for each vector, by float32 distances of one tile after the other. */
export interface Candidates {
  /** How many are kept for each vector. */
  readonly kept: number;
  /** [count, kept] squared distances in the frame, ascending; infinite where there are fewer. */
  readonly values: Float32Array;
  /** [count, kept] */
  readonly indices: Int32Array;
}

export function noCandidates(count: number, kept: number): Candidates {
  return {
    kept,
    values: new Float32Array(count * kept).fill(Number.POSITIVE_INFINITY),
    indices: new Int32Array(count * kept).fill(-1),
  };
}

/** Puts one in its place; behind equal ones, so that those offered first (the lower indices) stay. */
function offer({ kept, values, indices }: Candidates, row: number, value: number, index: number): void {
  const first = row * kept;
  let at = first + kept - 1;
  if (!(value < values[at]!)) return;
  for (; at > first && value < values[at - 1]!; at--) {
    values[at] = values[at - 1]!;
    indices[at] = indices[at - 1]!;
  }
  values[at] = value;
  indices[at] = index;
}

/**
 * Adds what one tile found. Tiles must come in ascending order of `firstIndex` for each row.
 * @param firstRow the tile's first vector, in the candidates
 * @param found [rows, width] ascending values and their indices within the tile
 * @param firstIndex of the tile, added to these
 */
export function addTile(
  candidates: Candidates,
  firstRow: number,
  found: { readonly values: Float32Array; readonly indices: Int32Array; readonly width: number },
  firstIndex: number,
): void {
  const { values, indices, width } = found;
  for (let at = 0; at < values.length; at++) {
    offer(candidates, firstRow + Math.floor(at / width), values[at]!, firstIndex + indices[at]!);
  }
}
