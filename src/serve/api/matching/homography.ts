import type { Grid } from '../../../image/geometry.js';
import { inlierThreshold } from '../../../match/homography/inlierThreshold.js';
import { DEFAULT_ITERATIONS, type HomographyFit, ransacHomographyInSlices } from '../../../match/homography/ransac.js';
import type { Homography } from '../../../proto/generated/vicregl/v1/Homography.js';
import type { HomographyFit__Output } from '../../../proto/generated/vicregl/v1/HomographyFit.js';
import type { MatchResponse } from '../../../proto/generated/vicregl/v1/MatchResponse.js';
import type { Call } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import { overLimit } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { checkRange } from '../wire/fields.js';

const MAX_ITERATIONS = 100_000;

/** The reasons in messages. */
const absences = {
  too_few_pairs: 'HOMOGRAPHY_ABSENCE_TOO_FEW_PAIRS',
  collinear: 'HOMOGRAPHY_ABSENCE_COLLINEAR',
  degenerate: 'HOMOGRAPHY_ABSENCE_DEGENERATE',
} as const;

/** @throws ServeError `invalid_argument` for an option out of its range. Called before any other work. */
export function checkHomography(request: HomographyFit__Output | null): void {
  if (request === null) return;
  checkRange(
    'homography.threshold',
    request.threshold,
    (value) => value > 0 && Number.isFinite(value),
    'the finite numbers above 0 pixels',
  );
  checkRange(
    'homography.max_iterations',
    request.maxIterations,
    (value) => value >= 1 && value <= MAX_ITERATIONS,
    '1 to 100000',
  );
  checkRange('homography.confidence', request.confidence, (value) => value > 0 && value < 1, '(0, 1)');
}

/**
 * Checks the cost of a fit before any other work.
 * @param pairs maximum number of pairs
 * @throws ServeError `too_large` over the limit.
 */
export function checkHomographyCost(
  { limits }: ServeContext,
  request: HomographyFit__Output | null,
  pairs: number,
): void {
  if (request === null) return;
  const { maxIterations = DEFAULT_ITERATIONS } = request;
  const { maxHomographyTests } = limits;
  if (pairs * maxIterations <= maxHomographyTests) return;
  const fitting = Math.floor(maxHomographyTests / pairs);
  const fewer = 'ask for fewer pairs (top_gamma, mutual, or smaller sizes by resize)';
  throw new ServeError(
    'too_large',
    `homography.max_iterations: ${maxIterations} samples of up to ${pairs} pairs are ${pairs * maxIterations} tests, ` +
      `${overLimit(limits, 'maxHomographyTests')}; ${fewer}${fitting < 1 ? '' : `, or for max_iterations of at most ${fitting}`}`,
  );
}

function message(fit: HomographyFit, pairs: number): Homography {
  if (!fit.found) {
    const { reason, iterations } = fit;
    return {
      inliers: new Array(pairs).fill(false),
      iterations,
      absence: absences[reason],
    };
  }
  const inliers = new Array<boolean>(pairs).fill(false);
  for (const i of fit.inliers) inliers[i] = true;
  return {
    matrix: [...fit.matrix],
    inliers,
    inlierCount: fit.inliers.length,
    inlierRms: fit.rms,
    iterations: fit.iterations,
  };
}

/**
 * Adds a homography fitted to the pairs of a response, if the request asks for one.
 * @param gridB the grid of b: the default threshold is the distance of its adjacent cells
 */
export async function withHomography(
  response: MatchResponse,
  request: HomographyFit__Output | null,
  gridB: Grid,
  call: Call,
): Promise<MatchResponse> {
  if (request === null) return response;
  const { threshold = inlierThreshold(gridB), maxIterations, confidence, seed } = request;
  const pairs = response.pairs ?? [];
  const points = Float64Array.from(pairs.flatMap(({ a, b }) => [a!.x!, a!.y!, b!.x!, b!.y!]));
  const fit = await ransacHomographyInSlices(
    points,
    {
      threshold,
      ...(maxIterations !== undefined && { maxIterations }),
      ...(confidence !== undefined && { confidence }),
      ...(seed !== undefined && { seed }),
    },
    call.signal,
  );
  return { ...response, homography: message(fit, pairs.length) };
}
