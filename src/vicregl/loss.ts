import type { Value } from '../onnx/graph.js';
import { add, div, mul } from '../onnx/ops/elementwise.js';
import { type BatchStatistics, batchStatistics, covarianceLoss, invarianceLoss, varianceLoss } from './criterion.js';
import { type CellPairs, featureDistances, locationDistances, nearestPairs, selectCells } from './matching.js';

/** The VICRegL objective over V views (paper, equations 4 to 8; docs/method.md). */

/** Weights of the criterion's terms; the defaults are the paper's 25, 25, 1. */
export interface CriterionWeights {
  readonly invariance: number;
  readonly variance: number;
  readonly covariance: number;
}

export interface LossConfig {
  /** Weight of the global loss in 0..1; the local loss has 1 - alpha. */
  readonly alpha: number;
  /** Pairs kept per direction: [from a pivot view, from the other view]. */
  readonly numMatches: readonly [number, number];
  /** Feature-based pairs kept: all (the authors' default) or numMatches (the paper's text). */
  readonly featureMatches: 'all' | 'top';
  /** Which kinds of matches make the local loss; both by default. */
  readonly matches?: 'both' | MatchKind;
  readonly weights: CriterionWeights;
  /** Weights of the local criterion; those of the global one by default. */
  readonly localWeights?: CriterionWeights;
}

type MatchKind = 'location' | 'feature';

/** What the networks give for one view. */
export interface ViewOutputs {
  /** Expander's output [B, D]; absent when alpha is 0. */
  readonly embedding?: Value;
  /** Local projector's output over cells, row-major [B, P, D']; absent when alpha is 1. */
  readonly mapsEmbedding?: Value;
  /** Cell centres in the original image, pixels, (row, column): [B, P, 2]; absent when alpha is 1. */
  readonly locations?: Value;
}

/** Three weighted scalars. */
export interface CriterionTerms {
  readonly invariance: Value;
  readonly variance: Value;
  readonly covariance: Value;
}

export interface LossTerms {
  readonly global?: CriterionTerms;
  readonly local?: CriterionTerms;
  /** alpha * global + (1 - alpha) * local. */
  readonly total: Value;
}

/** Views 0 and 1 are pivots; each is paired with every other view. */
const PIVOTS = 2;

/** Ordered pairs (i, j), i a pivot and j any other view: 2 (V - 1) of them. */
export function viewPairs(views: number): [number, number][] {
  return Array.from({ length: Math.min(PIVOTS, views) }, (_, i) => i).flatMap((i) =>
    Array.from({ length: views }, (_, j) => j)
      .filter((j) => j !== i)
      .map((j): [number, number] => [i, j]),
  );
}

function sum(values: readonly Value[]): Value {
  return values.reduce((total, value) => add(total, value));
}

function mean(values: readonly Value[]): Value {
  return div(sum(values), values.length);
}

function weighted(terms: CriterionTerms, weights: CriterionWeights): CriterionTerms {
  return {
    invariance: mul(terms.invariance, weights.invariance),
    variance: mul(terms.variance, weights.variance),
    covariance: mul(terms.covariance, weights.covariance),
  };
}

/** Invariance over pairs of views, variance and covariance over views. */
function globalLoss(embeddings: readonly Value[], weights: CriterionWeights): CriterionTerms {
  const statistics = embeddings.map(batchStatistics);
  // s is symmetric: of (0, 1) and (1, 0) one is computed.
  const invariance = once<Value>();
  const terms = {
    invariance: mean(
      viewPairs(embeddings.length).map(([i, j]) =>
        invariance(`${Math.min(i, j)}:${Math.max(i, j)}`, () => invarianceLoss(embeddings[i]!, embeddings[j]!)),
      ),
    ),
    variance: mean(statistics.map(varianceLoss)),
    covariance: mean(statistics.map(covarianceLoss)),
  };
  return weighted(terms, weights);
}

/** Computes each key once. */
function once<T>(): (key: string, compute: () => T) => T {
  const known = new Map<string, T>();
  return (key, compute) => {
    let value = known.get(key);
    if (value === undefined) {
      value = compute();
      known.set(key, value);
    }
    return value;
  };
}

interface LocalView {
  readonly mapsEmbedding: Value;
  readonly locations: Value;
}

/**
 * The local loss: for each pair of views the location-based and the feature-based criterion, added; each is the mean of
 * its two directions; the mean over pairs.
 */
function localLoss(views: readonly LocalView[], config: Omit<LossConfig, 'alpha'>): CriterionTerms {
  const { numMatches, featureMatches, matches = 'both', weights, localWeights = weights } = config;
  const kinds: readonly MatchKind[] = matches === 'both' ? ['location', 'feature'] : [matches];
  const distances = once<Value>();
  const regularised = once<{ variance: Value; covariance: Value }>();
  const directions = once<CriterionTerms>();

  const regularise = (statistics: BatchStatistics) => ({
    variance: varianceLoss(statistics),
    covariance: covarianceLoss(statistics),
  });

  const criterion = (source: number, target: number, pairs: CellPairs): CriterionTerms => {
    const from = views[source]!.mapsEmbedding;
    const { sources } = pairs;
    const x = sources === undefined ? from : selectCells(from, sources);
    const y = selectCells(views[target]!.mapsEmbedding, pairs.targets);
    // A whole map has the same statistics whatever it is matched with.
    const left =
      sources === undefined
        ? regularised(`${source}`, () => regularise(batchStatistics(x)))
        : regularise(batchStatistics(x));
    const right = regularise(batchStatistics(y));
    return {
      invariance: invarianceLoss(x, y),
      variance: mean([left.variance, right.variance]),
      covariance: mean([left.covariance, right.covariance]),
    };
  };

  // Both orders of a pair of pivots may ask for the same direction with the same gamma: it is computed once.
  const direction = (kind: MatchKind, source: number, target: number, gamma: number | 'all') =>
    directions(`${kind}:${source}:${target}:${gamma}`, () => {
      const [a, b] = [views[source]!, views[target]!];
      const between = distances(`${kind}:${source}:${target}`, () =>
        kind === 'location'
          ? locationDistances(a.locations, b.locations)
          : featureDistances(a.mapsEmbedding, b.mapsEmbedding),
      );
      return a.mapsEmbedding.graph.scope(`${kind}-${source}to${target}`, () =>
        criterion(source, target, nearestPairs(between, gamma)),
      );
    });

  const pairs = viewPairs(views.length).map(([i, j]) => {
    const byKind = kinds.map((kind) => {
      const all = kind === 'feature' && featureMatches === 'all';
      const [fromPivot, fromOther] = all ? (['all', 'all'] as const) : numMatches;
      return [direction(kind, i, j, fromPivot), direction(kind, j, i, fromOther)];
    });
    const term = (name: keyof CriterionTerms) => sum(byKind.map((both) => mean(both.map((terms) => terms[name]))));
    return { invariance: term('invariance'), variance: term('variance'), covariance: term('covariance') };
  });
  const terms = {
    invariance: mean(pairs.map(({ invariance }) => invariance)),
    variance: mean(pairs.map(({ variance }) => variance)),
    covariance: mean(pairs.map(({ covariance }) => covariance)),
  };
  return weighted(terms, localWeights);
}

function total({ invariance, variance, covariance }: CriterionTerms): Value {
  return sum([invariance, variance, covariance]);
}

/** alpha * global + (1 - alpha) * local; a loss whose weight is 0 is left out of the graph. */
export function vicreglLoss(views: readonly ViewOutputs[], config: LossConfig): LossTerms {
  const { alpha, weights } = config;
  const global =
    alpha > 0
      ? globalLoss(
          views.map(({ embedding }) => embedding!),
          weights,
        )
      : undefined;
  const local =
    alpha < 1
      ? localLoss(
          views.map(({ mapsEmbedding, locations }) => ({ mapsEmbedding: mapsEmbedding!, locations: locations! })),
          config,
        )
      : undefined;
  const parts = [
    ...(global === undefined ? [] : [mul(total(global), alpha)]),
    ...(local === undefined ? [] : [mul(total(local), 1 - alpha)]),
  ];
  return { ...(global && { global }), ...(local && { local }), total: sum(parts) };
}
