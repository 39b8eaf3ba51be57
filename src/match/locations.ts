import { runInSlices, runSync } from '../tensor/slices.js';
import { MatchError } from './matchError.js';
import { checkTopGamma, type MatchOrder, selectTopGamma } from './select.js';

/** Two cells that show nearly the same place of one original image. Cells are row-major indices. */
export interface LocationMatch {
  readonly source: number;
  readonly target: number;
  /** L2 distance of the centres in the original's pixels. */
  readonly distance: number;
}

export interface LocationMatchOptions {
  /** Keep this many matches of the smallest distances (the paper's gamma). Default: all. */
  readonly topGamma?: number;
  /** Default `distance`. */
  readonly order?: MatchOrder;
}

function checkCentres(name: string, centres: Float64Array): void {
  if (centres.length === 0 || centres.length % 2 !== 0) {
    throw new MatchError(
      'bad_input',
      `${name} holds ${centres.length} numbers; it must hold (x, y) for one cell or more`,
    );
  }
  const bad = centres.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new MatchError('not_finite', `${name}[${bad}] is ${centres[bad]}; centres must be finite`);
}

/** Pairs of cells between two pauses: a few milliseconds on one core. */
const pausePairs = 2_000_000;

function* matchSteps(
  centresA: Float64Array,
  centresB: Float64Array,
  options: LocationMatchOptions,
): Generator<void, LocationMatch[]> {
  checkCentres('centresA', centresA);
  checkCentres('centresB', centresB);
  checkTopGamma(options.topGamma, centresA.length / 2);
  const matches: LocationMatch[] = [];
  const rows = Math.max(1, Math.floor(pausePairs / (centresB.length / 2)));
  for (let source = 0; source < centresA.length / 2; source++) {
    if (source > 0 && source % rows === 0) yield;
    const x = centresA[source * 2]!;
    const y = centresA[source * 2 + 1]!;
    let target = 0;
    let nearest = Number.POSITIVE_INFINITY;
    for (let other = 0; other < centresB.length / 2; other++) {
      const squared = (centresB[other * 2]! - x) ** 2 + (centresB[other * 2 + 1]! - y) ** 2;
      if (squared < nearest) {
        nearest = squared;
        target = other;
      }
    }
    matches.push({ source, target, distance: Math.sqrt(nearest) });
  }
  return selectTopGamma(matches, options.topGamma, options.order ?? 'distance');
}

/**
 * Location-based matching of the paper: matches every source cell to the target cell whose centre is nearest in the original
 * image (ties to the lower index), and keeps the topGamma nearest.
 * @param centresA [n, 2] centres of the source cells in the original's pixels (see `cellCentres`)
 * @param centresB [m, 2] centres of the target cells, in the same original
 * @throws MatchError
 */
export function matchLocations(
  centresA: Float64Array,
  centresB: Float64Array,
  options: LocationMatchOptions = {},
): LocationMatch[] {
  return runSync(matchSteps(centresA, centresB, options));
}

/**
 * `matchLocations` in slices: it yields to the event loop every few milliseconds.
 * @throws the signal's reason soon after it is aborted, and what `matchLocations` throws.
 */
export function matchLocationsInSlices(
  centresA: Float64Array,
  centresB: Float64Array,
  options: LocationMatchOptions,
  signal: AbortSignal,
): Promise<LocationMatch[]> {
  return runInSlices(matchSteps(centresA, centresB, options), signal);
}
