import { MatchError } from './matchError.js';

/** Order of matches: by ascending source cell (the paper's) or by ascending distance. */
export type MatchOrder = 'source' | 'distance';

/**
 * Checks the number of matches to keep.
 * @throws MatchError `bad_option` if it is not a whole number between 1 and the number of source cells.
 */
export function checkTopGamma(topGamma: number | undefined, sourceCells: number): void {
  if (topGamma === undefined) return;
  if (!Number.isInteger(topGamma) || topGamma < 1) {
    throw new MatchError(
      'bad_option',
      `topGamma is ${topGamma}; it must be a whole number of at least 1 (leave it out to keep all)`,
    );
  }
  if (topGamma > sourceCells) {
    throw new MatchError(
      'bad_option',
      `topGamma ${topGamma} is more than the ${sourceCells} cells of the source map; ask for at most ${sourceCells}`,
    );
  }
}

/**
 * Keeps the topGamma matches with the smallest distance, ties to the lower source cell.
 * @param matches in ascending order of source
 */
export function selectTopGamma<M extends { readonly source: number; readonly distance: number }>(
  matches: readonly M[],
  topGamma: number | undefined,
  order: MatchOrder,
): M[] {
  const kept = matches
    .toSorted((a, b) => a.distance - b.distance || a.source - b.source)
    .slice(0, topGamma ?? matches.length);
  return order === 'source' ? kept.sort((a, b) => a.source - b.source) : kept;
}
