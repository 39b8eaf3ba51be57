import type { Command } from 'commander';
import { registerEvaluateHomography } from './homography.js';
import { registerEvaluateKnn } from './knn.js';
import { registerEvaluateMatches } from './matches.js';

/** `vicregl evaluate`: measures the quality of a model's features. */
export function registerEvaluate(program: Command): void {
  const evaluate = program.command('evaluate').description("Measure the quality of a model's features.");
  registerEvaluateKnn(evaluate);
  registerEvaluateMatches(evaluate);
  registerEvaluateHomography(evaluate);
}
