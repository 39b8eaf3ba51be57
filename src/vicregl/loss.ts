import type { Value } from '../onnx/graph.js';
import { add, div, mul } from '../onnx/ops/elementwise.js';
import { type Criterion, type CriterionWeights, simclr, type TermName, type Terms, vicreg } from './criterion.js';
import { type CellPairs, featureDistances, locationDistances, nearestPairs, selectCells } from './matching.js';

/** The VICRegL objective over V views (paper, equations 4 to 8; docs/method.md), with VICReg's criterion or SimCLR's. */

export interface LossConfig {
  /** Weight of the global loss in 0..1; the local loss has 1 - alpha. */
  readonly alpha: number;
  /** Pairs kept per direction: [from a pivot view, from the other view]. */
  readonly numMatches: readonly [number, number];
  /** Feature-based pairs kept: all (the authors' default) or numMatches (the paper's text). */
  readonly featureMatches: 'all' | 'top';
  /** Kinds of matches in the local loss; both by default. */
  readonly matches?: 'both' | MatchKind;
  /** Weights of the VICReg criterion. */
  readonly weights: CriterionWeights;
  /** Weights of the local criterion; those of the global one by default. */
  readonly localWeights?: CriterionWeights;
  /** NT-Xent in place of the VICReg criterion, globally and locally: SimCLR with alpha 1, else SimCLR-L. */
  readonly simclr?: { readonly temperature: number };
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

export interface LossTerms {
  /** Terms with their weights; a term of weight 0 is absent. */
  readonly global?: Terms;
  readonly local?: Terms;
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

/** The mean of each term over several lists of the same terms. */
function meanTerms(lists: readonly Terms[]): Terms {
  return combined(lists, mean);
}

function combined(lists: readonly Terms[], combine: (values: readonly Value[]) => Value): Terms {
  const names = Object.keys(lists[0]!) as TermName[];
  return Object.fromEntries(names.map((name) => [name, combine(lists.map((terms) => terms[name]!))]));
}

function weighted(terms: Terms, { weights }: Criterion): Terms {
  const names = Object.keys(weights) as TermName[];
  return Object.fromEntries(names.map((name) => [name, mul(terms[name]!, weights[name]!)]));
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

/** Terms of pairs over pairs of views, terms of sets over views. */
function globalLoss(embeddings: readonly Value[], criterion: Criterion): Terms {
  const prepared = embeddings.map(criterion.prepare);
  // Terms of pairs are symmetric: of (0, 1) and (1, 0) one is computed.
  const ofPair = once<Terms>();
  const pairs = viewPairs(prepared.length).map(([i, j]) =>
    ofPair(`${Math.min(i, j)}:${Math.max(i, j)}`, () => criterion.ofPair(prepared[i]!, prepared[j]!)),
  );
  return weighted({ ...meanTerms(pairs), ...meanTerms(prepared.map(criterion.ofSet)) }, criterion);
}

interface LocalView {
  readonly mapsEmbedding: Value;
  readonly locations: Value;
}

/**
 * The local loss: the mean over pairs of views of the sum of the location-based and the feature-based criterion, each the
 * mean of its two directions.
 */
function localLoss(
  views: readonly LocalView[],
  criterion: Criterion,
  { numMatches, featureMatches, matches = 'both' }: Omit<LossConfig, 'alpha'>,
): Terms {
  const kinds: readonly MatchKind[] = matches === 'both' ? ['location', 'feature'] : [matches];
  const prepared = views.map(({ mapsEmbedding }) => criterion.prepare(mapsEmbedding));
  const distances = once<Value>();
  const ofWholeMap = once<Terms>();
  const directions = once<Terms>();

  const matched = (source: number, target: number, { sources, targets }: CellPairs): Terms => {
    const from = prepared[source]!;
    const x = sources === undefined ? from : selectCells(from, sources);
    const y = selectCells(prepared[target]!, targets);
    // The terms of a whole map's set do not depend on what it is matched with.
    const left = sources === undefined ? ofWholeMap(`${source}`, () => criterion.ofSet(x)) : criterion.ofSet(x);
    return { ...criterion.ofPair(x, y), ...meanTerms([left, criterion.ofSet(y)]) };
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
        matched(source, target, nearestPairs(between, gamma)),
      );
    });

  const pairs = viewPairs(views.length).map(([i, j]) => {
    const byKind = kinds.map((kind) => {
      const all = kind === 'feature' && featureMatches === 'all';
      const [fromPivot, fromOther] = all ? (['all', 'all'] as const) : numMatches;
      return meanTerms([direction(kind, i, j, fromPivot), direction(kind, j, i, fromOther)]);
    });
    return combined(byKind, sum);
  });
  return weighted(meanTerms(pairs), criterion);
}

/** alpha * global + (1 - alpha) * local; a loss whose weight is 0 is left out of the graph. */
export function vicreglLoss(views: readonly ViewOutputs[], config: LossConfig): LossTerms {
  const { alpha, weights, localWeights = weights } = config;
  const contrast = config.simclr && simclr(config.simclr.temperature);
  const criterionOf = (own: CriterionWeights) => contrast ?? vicreg(own);
  const global =
    alpha > 0
      ? globalLoss(
          views.map(({ embedding }) => embedding!),
          criterionOf(weights),
        )
      : undefined;
  const local =
    alpha < 1
      ? localLoss(
          views.map(({ mapsEmbedding, locations }) => ({ mapsEmbedding: mapsEmbedding!, locations: locations! })),
          criterionOf(localWeights),
          config,
        )
      : undefined;
  const parts = [
    ...(global === undefined ? [] : [mul(sum(Object.values(global)), alpha)]),
    ...(local === undefined ? [] : [mul(sum(Object.values(local)), 1 - alpha)]),
  ];
  return { ...(global && { global }), ...(local && { local }), total: sum(parts) };
}
