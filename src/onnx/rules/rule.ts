import type { Node, Value } from '../graph.js';
import type { Operator } from '../operators.js';

/** What a gradient rule sees of a node. */
export interface RuleContext {
  readonly node: Node;
  /** Inputs of the node. */
  readonly x: readonly Value[];
  /** Outputs of the node. */
  readonly y: readonly Value[];
  /** Gradient with respect to the first output, of its shape. */
  readonly gy: Value;
}

/**
 * Builders of the gradients with respect to the inputs, in order; undefined for an input that has none. `gradients` calls
 * those that it needs. A gradient has the shape of its input, or a shape to which the input was broadcast: `gradients`
 * sums it over the axes that broadcasting repeated.
 */
export type GradientRule = (context: RuleContext) => readonly ((() => Value) | undefined)[];

/**
 * How an operator is differentiated: by a rule; `none` where it has no derivative (comparisons, selections) and gradients
 * stop; `unsupported` where no rule is written, which is an error when a gradient reaches it.
 */
export type Gradient = GradientRule | 'none' | 'unsupported';

/** The gradients of a family of operators. */
export type FamilyGradients = Readonly<Partial<Record<Operator, Gradient>>>;
