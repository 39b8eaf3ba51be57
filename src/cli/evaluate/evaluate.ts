import type { Command } from 'commander';
import { registerEvaluateKnn } from './knn.js';
import { registerEvaluateLinear } from './linear.js';
import { registerEvaluateMatches } from './matches.js';

/** `vicregl evaluate`: measures the quality of a model's features. */
export function registerEvaluate(program: Command): void {
  const evaluate = program.command('evaluate').description("Measure the quality of a model's features.");
  registerEvaluateKnn(evaluate);
  registerEvaluateLinear(evaluate);
  registerEvaluateMatches(evaluate);
}
