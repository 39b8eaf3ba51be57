import { runInSlices, runSync } from '../tensor/slices.js';
import { comparedVectors, type MatchDistance } from './distance.js';
import { MatchError } from './matchError.js';
import { type NearestNeighbours, type NearestSearch, nearestNeighbours, type VectorPair } from './nearest.js';
import { checkTopGamma, type MatchOrder, selectTopGamma } from './select.js';

/** The features of one image's cells: `data` is [rows * columns, channels], row-major. */
export interface CellFeatures {
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  readonly data: Float32Array;
}

/** A source cell and the target cell that was matched to it. Cells are row-major indices: row * columns + column. */
export interface Match {
  readonly source: number;
  readonly target: number;
  /** The distance of the two feature vectors that the option `distance` chooses. */
  readonly distance: number;
  /** Cosine similarity of the two feature vectors (centred with `centredCosine`), -1..1; 0 where one of them is zero. */
  readonly similarity: number;
}

/** How features are matched. Filters apply first, then topGamma, then the order. */
export interface FeatureMatchOptions {
  /** Keep this many matches of the smallest distances (the paper's gamma). Default: all. */
  readonly topGamma?: number;
  /** Keep a match only where the source is also the nearest of the target. Default false. */
  readonly mutual?: boolean;
  /** Lowe's ratio test: keep a match only where nearest < ratio * second-nearest distance; 0 < ratio <= 1. */
  readonly ratio?: number;
  /** Keep a match only where its cosine similarity is at least this, -1..1. */
  readonly minSimilarity?: number;
  /** The distance by which the nearest is found. Default `l2`. */
  readonly distance?: MatchDistance;
  /** Default `distance`: the best match first. The paper's order is `source`. */
  readonly order?: MatchOrder;
}

function checkMap(name: string, map: CellFeatures): void {
  const { rows, columns, channels, data } = map;
  for (const [field, value] of Object.entries({ rows, columns, channels })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new MatchError('bad_input', `${name}.${field} is ${value}; it must be a whole number of at least 1`);
    }
  }
  if (data.length !== rows * columns * channels) {
    throw new MatchError(
      'bad_input',
      `${name}.data of ${rows} x ${columns} cells with ${channels} channels needs ${rows * columns * channels} numbers, got ${data.length}`,
    );
  }
}

function checkOptions(options: FeatureMatchOptions, source: CellFeatures, target: CellFeatures): void {
  const { ratio, minSimilarity } = options;
  checkTopGamma(options.topGamma, source.rows * source.columns);
  if (ratio !== undefined && !(ratio > 0 && ratio <= 1)) {
    throw new MatchError('bad_option', `ratio is ${ratio}; it must be over 0 and at most 1 (0.8 is usual)`);
  }
  if (ratio !== undefined && target.rows * target.columns < 2) {
    throw new MatchError(
      'bad_option',
      'ratio needs a second-nearest cell, and the target map has one cell; leave ratio out',
    );
  }
  if (minSimilarity !== undefined && !(minSimilarity >= -1 && minSimilarity <= 1)) {
    throw new MatchError('bad_option', `minSimilarity is ${minSimilarity}; it must lie between -1 and 1`);
  }
}

/** Checks all input and prepares the vectors for the search. */
function* preparedVectors(a: CellFeatures, b: CellFeatures, options: FeatureMatchOptions): Generator<void, VectorPair> {
  checkMap('a', a);
  checkMap('b', b);
  if (a.channels !== b.channels) {
    throw new MatchError(
      'bad_input',
      `a has ${a.channels} channels and b has ${b.channels}; match maps of one model and one output with each other`,
    );
  }
  checkOptions(options, a, b);
  return yield* comparedVectors({ a: a.data, b: b.data, channels: a.channels }, options.distance ?? 'l2');
}

/** The matches that the options keep. */
function keptMatches({ fromA, fromB, normsA, normsB }: NearestNeighbours, options: FeatureMatchOptions): Match[] {
  const matches: Match[] = [];
  for (let source = 0; source < normsA.length; source++) {
    const target = fromA.index[source]!;
    if (options.mutual === true && fromB.index[target] !== source) continue;
    const squared = fromA.squared[source]!;
    const distance = Math.sqrt(squared);
    if (options.ratio !== undefined && !(distance < options.ratio * Math.sqrt(fromA.secondSquared[source]!))) continue;
    // ab = (|a|^2 + |b|^2 - |a-b|^2) / 2, for the vectors that were searched.
    const dot = (normsA[source]! + normsB[target]! - squared) / 2;
    const length = Math.sqrt(normsA[source]! * normsB[target]!);
    const similarity = length === 0 ? 0 : Math.min(1, Math.max(-1, dot / length));
    if (options.minSimilarity !== undefined && similarity < options.minSimilarity) continue;
    matches.push({ source, target, distance, similarity });
  }
  return selectTopGamma(matches, options.topGamma, options.order ?? 'distance');
}

function* matchSteps(a: CellFeatures, b: CellFeatures, options: FeatureMatchOptions): Generator<void, Match[]> {
  const nearest = yield* nearestNeighbours(yield* preparedVectors(a, b, options));
  return keptMatches(nearest, options);
}

/**
 * Feature-based matching of the paper: matches every cell of `a` to the cell of `b` with the nearest feature (ties to the lower
 * index), and keeps the topGamma nearest (ties to the lower source), in ascending order of distance.
 *
 * Takes cells of a * cells of b * channels multiplications on the calling thread, about a second for 10^9.
 * @throws MatchError `bad_input` for maps of different channels, `not_finite` for features that are not finite, and
 *   `bad_option` for options out of range.
 */
export function matchFeatures(a: CellFeatures, b: CellFeatures, options: FeatureMatchOptions = {}): Match[] {
  return runSync(matchSteps(a, b, options));
}

/**
 * `matchFeatures` in slices: it yields to the event loop every few milliseconds.
 * @throws the signal's reason soon after it is aborted, and what `matchFeatures` throws.
 */
export function matchFeaturesInSlices(
  a: CellFeatures,
  b: CellFeatures,
  options: FeatureMatchOptions,
  signal: AbortSignal,
): Promise<Match[]> {
  return runInSlices(matchSteps(a, b, options), signal);
}

/**
 * `matchFeatures` with the caller's own search, such as that of an engine's worker.
 * @throws what `matchFeatures` and the search throw.
 */
export async function matchFeaturesBy(
  search: NearestSearch,
  a: CellFeatures,
  b: CellFeatures,
  options: FeatureMatchOptions,
  signal: AbortSignal,
): Promise<Match[]> {
  const vectors = await runInSlices(preparedVectors(a, b, options), signal);
  return keptMatches(await search(vectors, signal), options);
}
