import type { Command } from 'commander';
import { registerEvaluateHomography } from './homography.js';
import { registerEvaluateKnn } from './knn.js';
import { registerEvaluateLinear } from './linear.js';
import { registerEvaluateMatches } from './matches.js';
import { registerEvaluateRetrieval } from './retrieval.js';
import { registerEvaluateSegmentation } from './segmentation.js';

/** `vicregl evaluate`: measures the quality of a model's features. */
export function registerEvaluate(program: Command): void {
  const evaluate = program.command('evaluate').description("Measure the quality of a model's features.");
  registerEvaluateKnn(evaluate);
  registerEvaluateLinear(evaluate);
  registerEvaluateRetrieval(evaluate);
  registerEvaluateMatches(evaluate);
  registerEvaluateSegmentation(evaluate);
  registerEvaluateHomography(evaluate);
}
