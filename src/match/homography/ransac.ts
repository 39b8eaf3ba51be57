import { stream } from '../../tensor/random.js';
import { runInSlices, runSync } from '../../tensor/slices.js';
import { type Consensus, measure } from './consensus.js';
import { fitHomography, type HomographyMatrix, type PointPairs } from './fitHomography.js';
import { drawFour, homographyOfFour, isCollinear, isUsable } from './minimalSample.js';

export interface RansacOptions {
  /** Largest distance in pixels of the second image for a pair to be an inlier, above 0. */
  readonly threshold: number;
  /** Most samples of 4 pairs. Default 20,000: only a tenth of the pairs of dense maps may be right. */
  readonly maxIterations?: number;
  /** Sampling stops once a sample without outliers has been drawn with this probability. Default 0.999. */
  readonly confidence?: number;
  /** Default 0. */
  readonly seed?: number;
}

/**
 * Why there is no homography:
 * - `too_few_pairs`: fewer than 4
 * - `collinear`: all points of one image lie on a line, or coincide
 * - `degenerate`: no sample had 4 pairs in general position
 */
export type HomographyAbsence = 'too_few_pairs' | 'collinear' | 'degenerate';

export type HomographyFit =
  | {
      readonly found: true;
      /** Takes (x, y, 1) of the first image to the second. */
      readonly matrix: HomographyMatrix;
      /** Indices of the pairs that agree, ascending. */
      readonly inliers: Int32Array;
      /** Root mean square of their distances in the second image, in pixels. */
      readonly rms: number;
      /** Samples that were drawn. */
      readonly iterations: number;
    }
  | { readonly found: false; readonly reason: HomographyAbsence; readonly iterations: number };

export const DEFAULT_ITERATIONS = 20_000;

/** Pairs measured between two pauses: a few milliseconds on one core. */
const PAUSE_PAIRS = 200_000;

/** Cost of a sample without measuring, in measured pairs. */
const SAMPLE_PAIRS = 150;

/** Refits after a better sample; each can only lower the cost. */
const MAX_REFITS = 10;

/** Samples that are needed to draw one without outliers with the given probability. */
function samplesNeeded(inlierShare: number, confidence: number): number {
  const clean = inlierShare ** 4;
  return clean >= 1 ? 0 : Math.log(1 - confidence) / Math.log1p(-clean);
}

interface Model extends Consensus {
  readonly matrix: HomographyMatrix;
}

/** Cost of a pair in a least squares fit, in measured pairs. */
const FIT_PAIRS = 40;

/**
 * Least squares over the inliers, repeated with the new inliers as long as the cost falls. Pauses after fits that take
 * milliseconds.
 */
function* refit(pairs: PointPairs, model: Model, threshold: number): Generator<void, Model> {
  let best = model;
  for (let i = 0; i < MAX_REFITS; i++) {
    const matrix = fitHomography(pairs, best.inliers);
    const consensus = matrix && measure(matrix, pairs, threshold, best.inliers[0]!, best.cost);
    if (!matrix || !consensus || consensus.inliers.length < 4) return best;
    best = { ...consensus, matrix };
    if (best.inliers.length * FIT_PAIRS > PAUSE_PAIRS) yield;
  }
  return best;
}

function* ransacSteps(pairs: PointPairs, options: RansacOptions): Generator<void, HomographyFit> {
  const { threshold, maxIterations = DEFAULT_ITERATIONS, confidence = 0.999, seed = 0 } = options;
  const count = pairs.length / 4;
  if (count < 4) return { found: false, reason: 'too_few_pairs', iterations: 0 };
  if (isCollinear(pairs, 0) || isCollinear(pairs, 2)) return { found: false, reason: 'collinear', iterations: 0 };
  const random = stream(seed, 'homography');
  let best: Model | undefined;
  let needed = maxIterations;
  let iterations = 0;
  let work = 0;
  for (; iterations < needed; iterations++) {
    work += SAMPLE_PAIRS;
    if (work > PAUSE_PAIRS) {
      work = 0;
      yield;
    }
    const sample = drawFour(random, count);
    const matrix = isUsable(pairs, sample) ? homographyOfFour(pairs, sample) : undefined;
    if (matrix === undefined) continue;
    work += count;
    const consensus = measure(matrix, pairs, threshold, sample[0], best?.cost);
    if (consensus === undefined || consensus.inliers.length < 4) continue;
    best = yield* refit(pairs, { ...consensus, matrix }, threshold);
    needed = Math.min(maxIterations, Math.ceil(samplesNeeded(best.inliers.length / count, confidence)));
  }
  if (best === undefined) return { found: false, reason: 'degenerate', iterations };
  const { matrix, inliers, rms } = best;
  return { found: true, matrix, inliers, rms, iterations };
}

/**
 * The homography on which most pairs agree. Draws random samples of 4 pairs (RANSAC, Fischler and Bolles 1981), scores them by
 * truncated squared distances (MSAC), refits each better one by least squares over its inliers (LO-RANSAC, Chum and others
 * 2003), and draws as many samples as the confidence needs. Deterministic: the same input gives the same result.
 * @param pairs [n, 4], finite
 */
export function ransacHomography(pairs: PointPairs, options: RansacOptions): HomographyFit {
  return runSync(ransacSteps(pairs, options));
}

/**
 * `ransacHomography` in slices: it yields to the event loop every few milliseconds.
 * @throws the signal's reason soon after it is aborted.
 */
export function ransacHomographyInSlices(
  pairs: PointPairs,
  options: RansacOptions,
  signal: AbortSignal,
): Promise<HomographyFit> {
  return runInSlices(ransacSteps(pairs, options), signal);
}
