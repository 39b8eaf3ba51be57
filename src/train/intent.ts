import { metricProblem, modeWarning } from './checkpointScore.js';
import type { LoggingKeys } from './expectedTerms.js';
import type { Direction } from './loggedTerms.js';

/** Configurations that a run could follow, but hardly as they were meant. */

interface IntentKeys extends LoggingKeys {
  readonly crops: {
    readonly size: number;
    readonly scale: readonly [number, number];
    readonly small?: { readonly size: number; readonly scale: readonly [number, number] } | undefined;
  };
  readonly endLrRatio: number;
  readonly checkpoints: { readonly best: { readonly metric: string; readonly mode?: Direction | undefined } };
}

/** Problems for which a new run is refused. Older versions did not know them, so the folder of such a run can still be read. */
export function intentProblems(config: IntentKeys): { readonly path: string[]; readonly message: string }[] {
  const { crops, endLrRatio, checkpoints } = config;
  const problems: { path: string[]; message: string }[] = [];
  if (crops.small !== undefined && crops.small.size > crops.size) {
    problems.push({
      path: ['crops', 'small', 'size'],
      message:
        `${crops.small.size} exceeds the ${crops.size} pixels of the large views (crops.size), which are the pivots; ` +
        `use at most ${crops.size}, or exchange them`,
    });
  }
  if (endLrRatio > 1) {
    problems.push({
      path: ['endLrRatio'],
      message:
        `${endLrRatio} is a final learning rate above the peak: the rate would rise over the whole run; ` +
        'use a fraction of the peak, at most 1, such as 0.001',
    });
  }
  const ofMetric = metricProblem(checkpoints.best.metric, config);
  if (ofMetric !== undefined) problems.push({ path: ['checkpoints', 'best', 'metric'], message: ofMetric });
  return problems;
}

/** Warnings about what is accepted because it may be meant. */
export function intentWarnings({
  crops,
  checkpoints,
}: Pick<IntentKeys, 'crops'> & {
  readonly checkpoints: { readonly best: { readonly metric: string; readonly mode: Direction } };
}): string[] {
  const warnings: string[] = [];
  if (crops.small !== undefined && crops.small.scale[0] >= crops.scale[1]) {
    warnings.push(
      `crops.small.scale ${JSON.stringify(crops.small.scale)} begins where crops.scale ${JSON.stringify(crops.scale)} ends: ` +
        'every small view shows more of the photograph than the large ones, which are the pivots; exchange the two',
    );
  }
  const ofMode = modeWarning(checkpoints.best);
  if (ofMode !== undefined) warnings.push(ofMode);
  return warnings;
}
