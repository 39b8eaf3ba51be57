import type { Operator } from '../operators.js';
import { convolutionRules } from './convolution.js';
import { elementwiseRules } from './elementwise.js';
import { indexingRules } from './indexing.js';
import { linearRules } from './linear.js';
import { normalisationRules } from './normalisation.js';
import { poolRules } from './pool.js';
import { reduceRules } from './reduce.js';
import type { Gradient } from './rule.js';
import { shapeRules } from './shape.js';

/** How each operator of the table (operators.ts) is differentiated. */
export const gradientRules: Readonly<Record<Operator, Gradient>> = {
  ...elementwiseRules,
  ...reduceRules,
  ...shapeRules,
  ...linearRules,
  ...convolutionRules,
  ...poolRules,
  ...normalisationRules,
  ...indexingRules,
  // Only in exported graphs.
  QuantizeLinear: 'unsupported',
  DequantizeLinear: 'unsupported',
  Resize: 'unsupported',
  // Only around whole training steps.
  Scan: 'unsupported',
};
