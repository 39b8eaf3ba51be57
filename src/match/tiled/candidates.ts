/** The nearest few vectors found so far for each vector, by float32 distances, as tile after tile is searched. */
export interface Candidates {
  /** Candidates of each vector. */
  readonly kept: number;
  /** [count, kept] squared distances of normalised vectors, ascending; infinite if there are fewer candidates. */
  readonly values: Float32Array;
  /** [count, kept] indices of the candidates; -1 where there are fewer. */
  readonly indices: Int32Array;
}

export function noCandidates(count: number, kept: number): Candidates {
  return {
    kept,
    values: new Float32Array(count * kept).fill(Number.POSITIVE_INFINITY),
    indices: new Int32Array(count * kept).fill(-1),
  };
}

/** Inserts a candidate behind those of equal distance: of equal ones, those inserted first (the lower indices) stay. */
function insert({ kept, values, indices }: Candidates, row: number, value: number, index: number): void {
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
 * Merges the neighbours of one tile. Tiles must come in ascending order of `firstIndex` for each row.
 * @param firstRow the tile's first vector among those that have candidates
 * @param found [rows, width] ascending distances, and indices within the tile
 * @param firstIndex the tile's first index, added to the indices
 */
export function addTile(
  candidates: Candidates,
  firstRow: number,
  found: { readonly values: Float32Array; readonly indices: Int32Array; readonly width: number },
  firstIndex: number,
): void {
  const { values, indices, width } = found;
  for (let at = 0; at < values.length; at++) {
    insert(candidates, firstRow + Math.floor(at / width), values[at]!, firstIndex + indices[at]!);
  }
}
