import { ZEROS } from '../nn/layers.js';
import type { ParameterSpec } from '../nn/parameters.js';
import type { Graph, Value } from '../onnx/graph.js';
import { add, div, greater, mul, where } from '../onnx/ops/elementwise.js';
import { updatedName } from '../optim/state.js';
import type { Term } from './loggedTerms.js';
import type { StepConfig } from './stepConfig.js';
import type { StepTerms } from './stepRunner.js';

/**
 * Dynamic loss scaling (Micikevicius et al., arXiv 1710.03740, section 3.2): gradients of a loss in float16 lie partly below its
 * smallest number. The loss is multiplied by a scale before it is differentiated, and the gradients are divided by it. Where a gradient
 * overflows, the step's update is left out and the scale halved; after many steps without, it is doubled. The factors and the interval are
 * those of PyTorch's GradScaler. The scale is state of the run: a resumed run goes on with it.
 */

/**
 * Below GradScaler's 2^16, at which the gradients of this loss overflow during the warm-up: the steps without an update put a run behind
 * one in float32 (docs/proofs/precision.md).
 */
export const INITIAL_SCALE = 2 ** 13;
/** Steps without an overflow after which the scale is doubled. */
const GROWTH_INTERVAL = 2000;
/** Gradients that are all zero must not let the scale grow for ever. */
const MAX_SCALE = 2 ** 24;
/** A gradient that is not finite at this scale is no fault of the scale: the run has diverged. */
const MIN_SCALE = 1;

const SCALE = 'loss_scale/value';
const STEPS = 'loss_scale/steps';

const SCALE_TERM = 'loss_scale' satisfies Term;
const OVERFLOW_TERM = 'overflow' satisfies Term;

/** The scale as graph nodes, and what it does to a step. */
export interface LossScaling {
  /** The loss to differentiate. */
  scaled(loss: Value): Value;
  /** A gradient of the scaled loss as one of the loss. */
  unscaled(gradient: Value): Value;
  /** Declares the scale after the step as outputs. @param norm of the unscaled gradients */
  settle(norm: Value): Settled;
}

interface Settled {
  /** Whether the gradients are finite, a scalar of bool: else the update must be left out. Undefined: without a scale. */
  readonly finite?: Value;
  /** Scalars to be logged. */
  readonly terms: ReadonlyMap<Term, Value>;
}

const UNSCALED: LossScaling = {
  scaled: (loss) => loss,
  unscaled: (gradient) => gradient,
  settle: () => ({ terms: new Map() }),
};

function isScaled({ precision }: Pick<StepConfig, 'precision'>): boolean {
  return precision === 'fp16';
}

/** What is kept of the scale between steps; nothing in precisions that need none. */
export function lossScaleSpecs(config: Pick<StepConfig, 'precision'>): ParameterSpec[] {
  if (!isScaled(config)) return [];
  return [
    { name: SCALE, shape: [], initialiser: { kind: 'constant', value: INITIAL_SCALE } },
    { name: STEPS, shape: [], initialiser: ZEROS },
  ];
}

/** The scale of a graph that is part of a step. Its state becomes inputs of the graph. */
export function lossScaling(graph: Graph, config: Pick<StepConfig, 'precision'>): LossScaling {
  if (!isScaled(config)) return UNSCALED;
  const scale = graph.input(SCALE, 'float32', []);
  let inverse: Value | undefined;
  return {
    scaled: (loss) => mul(loss, scale),
    unscaled(gradient) {
      inverse ??= div(1, scale);
      return mul(gradient, inverse);
    },
    settle(norm) {
      const steps = graph.input(STEPS, 'float32', []);
      const [zero, one] = [graph.scalar(0), graph.scalar(1)];
      const finite = greater(Number.POSITIVE_INFINITY, norm);
      const shrinks = greater(scale, MIN_SCALE);
      const counted = add(steps, 1);
      const grows = greater(counted, GROWTH_INTERVAL - 1);
      const grown = where(greater(MAX_SCALE, scale), mul(scale, 2), scale);
      const shrunk = where(shrinks, mul(scale, 0.5), scale);
      graph.output(updatedName(SCALE), where(finite, where(grows, grown, scale), shrunk));
      graph.output(updatedName(STEPS), where(finite, where(grows, zero, counted), zero));
      const overflow = where(finite, zero, where(shrinks, one, zero));
      return {
        finite,
        terms: new Map([
          [SCALE_TERM, scale],
          [OVERFLOW_TERM, overflow],
        ]),
      };
    },
  };
}

/** Whether a step left out its update, because its gradients overflowed. */
export function hasOverflowed(terms: StepTerms): boolean {
  return terms[OVERFLOW_TERM] === 1;
}

/** The terms of a step, without the gradients' norm where they overflowed: it is infinite there, which is no fault of the run. */
export function withoutOverflow(terms: StepTerms): StepTerms {
  if (!hasOverflowed(terms)) return terms;
  const { grad_norm: _, ...rest } = terms as StepTerms & { readonly grad_norm?: number };
  return rest;
}

/** What a user should know of a step; undefined of most. @param step counted from 1 */
export function overflowNote(step: number, terms: StepTerms): string | undefined {
  if (!hasOverflowed(terms)) return undefined;
  return `step ${step}: gradients overflowed float16 at a loss scale of ${terms[SCALE_TERM]}: no update, the scale is halved`;
}
