import { type Tensor, tensor } from '../tensor/tensor.js';
import { drawDropPath } from './dropPath.js';
import { type StepConfig, stepNames } from './stepConfig.js';
import type { RunnerOptions, TrainingStep } from './stepRunner.js';

/** The inputs of the step's graph (see buildStep) that differ from step to step: the optimizer's scalars, the batch, drop path. */
export function stepFeeds(
  config: StepConfig,
  { dropPathRate, seed }: Pick<RunnerOptions, 'dropPathRate' | 'seed'>,
  { step, learningRate, batch }: TrainingStep,
): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  for (const [name, value] of Object.entries(config.optimizer.scalarValues(step, learningRate))) {
    feeds.set(name, tensor('float32', [], Float32Array.of(value)));
  }
  config.viewSizes.forEach((_, view) => {
    feeds.set(stepNames.view(view), batch.views[view]!);
    if (config.loss.alpha < 1) feeds.set(stepNames.locations(view), batch.locations[view]!);
    if (config.dropPath) {
      const scales = drawDropPath(config.model.backbone, dropPathRate, config.batchSize, { seed, step, view });
      feeds.set(stepNames.dropPath(view), scales);
    }
  });
  if (config.classes !== undefined) feeds.set(stepNames.labels, batch.labels!);
  return feeds;
}
