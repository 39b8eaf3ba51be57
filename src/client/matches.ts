import type { CellPoint__Output } from '../proto/generated/vicregl/v1/CellPoint.js';
import type { MatchResponse__Output } from '../proto/generated/vicregl/v1/MatchResponse.js';
import { type Grid, readGrid } from './grid.js';
import { type Homography, readHomography } from './homography.js';
import { type ModelId, readModelId } from './model.js';
import { VicreglError } from './vicreglError.js';

/** A cell and its centre in the original image, in pixels. */
export interface CellPoint {
  readonly row: number;
  readonly column: number;
  readonly x: number;
  readonly y: number;
}

/** A pair of matched cells. */
export interface MatchPair {
  readonly a: CellPoint;
  readonly b: CellPoint;
  /** By features: L2 distance of the vectors. By location: distance of the centres in pixels of the original. */
  readonly distance: number;
  /** Cosine similarity of the vectors; absent by location. */
  readonly similarity?: number;
}

/** The matches of two images, in ascending order of the source cell (row-major in a). */
export interface Matches {
  readonly pairs: readonly MatchPair[];
  readonly gridA: Grid;
  readonly gridB: Grid;
  readonly model: ModelId;
  /** Present if the request asked for it. */
  readonly homography?: Homography;
  /** References of the sides that the server stored. */
  readonly featureRefA?: string;
  readonly featureRefB?: string;
}

function readPoint(message: CellPoint__Output | null): CellPoint {
  if (message === null) throw new VicreglError('INTERNAL', 'the response has a pair without its cells');
  const { row, column, x, y } = message;
  return { row, column, x, y };
}

/** @throws VicreglError `INTERNAL` for an incomplete response. */
export function readMatches(message: MatchResponse__Output): Matches {
  return {
    pairs: message.pairs.map(({ a, b, distance, similarity }) => ({
      a: readPoint(a),
      b: readPoint(b),
      distance,
      ...(similarity !== undefined && { similarity }),
    })),
    gridA: readGrid(message.gridA),
    gridB: readGrid(message.gridB),
    model: readModelId(message.model),
    ...(message.homography && { homography: readHomography(message.homography) }),
    ...(message.featureRefA !== '' && { featureRefA: message.featureRefA }),
    ...(message.featureRefB !== '' && { featureRefB: message.featureRefB }),
  };
}
