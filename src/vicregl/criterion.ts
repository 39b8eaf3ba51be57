import type { Value } from '../onnx/graph.js';
import { type AnchorMasks, anchorMasks, ntXentLoss, unitVectors } from './ntXent.js';
import { batchStatistics, covarianceLoss, invarianceLoss, varianceLoss } from './vicregTerms.js';

/** The criterion of the global and the local loss: VICReg's terms (vicregTerms.ts), or NT-Xent (ntXent.ts) for SimCLR. */

/** Terms of all criteria. */
export type TermName = 'invariance' | 'variance' | 'covariance' | 'contrast';

/** Scalars by name; a criterion gives the same names each time. */
export type Terms = Readonly<Partial<Record<TermName, Value>>>;

/** A criterion on vectors [N, D], or [N, G, D], where each of G positions has its own statistics over the batch. */
export interface Criterion {
  /** Weight of each of its terms, none of them 0. */
  readonly weights: Readonly<Partial<Record<TermName, number>>>;
  /** Transforms a network's vectors for `ofPair` and `ofSet`; cells are selected from the result. */
  prepare(x: Value): Value;
  /** Terms of two matched sets of vectors, symmetric in both. */
  ofPair(x: Value, y: Value): Terms;
  /** Terms of one set of vectors. */
  ofSet(x: Value): Terms;
}

/** Weights of the VICReg criterion's terms: 25, 25, 1 in the paper. A term of weight 0 is not computed. */
export interface CriterionWeights {
  readonly invariance: number;
  readonly variance: number;
  readonly covariance: number;
}

/** The VICReg criterion: invariance of pairs, variance and covariance of sets. */
export function vicreg({ invariance, variance, covariance }: CriterionWeights): Criterion {
  return {
    weights: {
      ...(invariance > 0 && { invariance }),
      ...(variance > 0 && { variance }),
      ...(covariance > 0 && { covariance }),
    },
    prepare: (x) => x,
    ofPair: (x, y) => (invariance > 0 ? { invariance: invarianceLoss(x, y) } : {}),
    ofSet(x) {
      if (variance === 0 && covariance === 0) return {};
      const statistics = batchStatistics(x);
      return {
        ...(variance > 0 && { variance: varianceLoss(statistics) }),
        ...(covariance > 0 && { covariance: covarianceLoss(statistics) }),
      };
    },
  };
}

/** SimCLR's criterion for one graph: NT-Xent of pairs of L2-normalised vectors, with weight 1. */
export function simclr(temperature: number): Criterion {
  let masks: AnchorMasks | undefined;
  return {
    weights: { contrast: 1 },
    prepare: unitVectors,
    ofPair(x, y) {
      masks ??= anchorMasks(x.graph, x.dtype, x.shape[0] as number);
      return { contrast: ntXentLoss(x, y, { temperature, masks }) };
    },
    ofSet: () => ({}),
  };
}
