import { convolutionRules } from './convolution.js';
import { elementwiseRules } from './elementwise.js';
import { indexingRules } from './indexing.js';
import { linearRules } from './linear.js';
import { normalisationRules } from './normalisation.js';
import { poolRules } from './pool.js';
import { reduceRules } from './reduce.js';
import type { GradientRule } from './rule.js';
import { shapeRules } from './shape.js';

/**
 * Gradient rules by operator. `null` marks an operator that has no derivative (comparisons, selections): gradients stop
 * there. An operator that is absent cannot be differentiated through, which is an error when it is tried.
 */
export const gradientRules: Readonly<Record<string, GradientRule | null>> = {
  ...elementwiseRules,
  ...reduceRules,
  ...shapeRules,
  ...linearRules,
  ...convolutionRules,
  ...poolRules,
  ...normalisationRules,
  ...indexingRules,
};
