import { cellCentres, type Grid } from '../../../image/geometry.js';
import type { CellPoint } from '../../../proto/generated/vicregl/v1/CellPoint.js';
import type { MatchResponse } from '../../../proto/generated/vicregl/v1/MatchResponse.js';
import type { ServeContext } from '../context.js';
import { invalid } from '../wire/fields.js';
import { gridMessage } from '../wire/grid.js';
import { modelId } from '../wire/model.js';

/** Default of top_gamma: the paper's number for large maps. */
const DEFAULT_TOP_GAMMA = 20;

/**
 * Reads the number of pairs to keep; undefined keeps all.
 * @throws ServeError `invalid_argument` if it is more than the number of source cells.
 */
export function readTopGamma(asked: number | undefined, cells: number): number | undefined {
  if (asked === undefined) return Math.min(DEFAULT_TOP_GAMMA, cells);
  if (asked > cells) {
    throw invalid(
      `top_gamma: ${asked} is more than the ${cells} cells of image a; ask for at most ${cells}, or 0 for all`,
    );
  }
  return asked === 0 ? undefined : asked;
}

function cellPoint(grid: Grid, centres: Float64Array, cell: number): CellPoint {
  return {
    row: Math.floor(cell / grid.columns),
    column: cell % grid.columns,
    x: centres[cell * 2]!,
    y: centres[cell * 2 + 1]!,
  };
}

/** The response with the matches of two grids. */
export function matchResponse(
  context: ServeContext,
  a: Grid,
  b: Grid,
  matches: readonly {
    readonly source: number;
    readonly target: number;
    readonly distance: number;
    readonly similarity?: number;
  }[],
): MatchResponse {
  const centresA = cellCentres(a);
  const centresB = cellCentres(b);
  return {
    pairs: matches.map(({ source, target, distance, similarity }) => ({
      a: cellPoint(a, centresA, source),
      b: cellPoint(b, centresB, target),
      distance,
      ...(similarity !== undefined && { similarity }),
    })),
    gridA: gridMessage(a),
    gridB: gridMessage(b),
    model: modelId(context),
  };
}
