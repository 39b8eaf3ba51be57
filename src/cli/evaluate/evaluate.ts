import type { Command } from 'commander';
import { registerEvaluateKnn } from './knn.js';
import { registerEvaluateMatches } from './matches.js';
import { registerEvaluateSegmentation } from './segmentation.js';

/** `vicregl evaluate`: measures the quality of a model's features. */
export function registerEvaluate(program: Command): void {
  const evaluate = program.command('evaluate').description("Measure the quality of a model's features.");
  registerEvaluateKnn(evaluate);
  registerEvaluateMatches(evaluate);
  registerEvaluateSegmentation(evaluate);
}
