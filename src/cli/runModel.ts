import type { ExportSource } from '../models/exportSource.js';
import type { Checkpoint } from '../train/checkpoint.js';
import { backboneOf, type TrainConfig } from '../train/config.js';
import { averagedWeights } from '../train/ema.js';

/** The network of a run's checkpoint, for export to a model folder. */
export function runModel(
  { model, loss }: TrainConfig,
  { tensors }: Checkpoint,
  weights: 'last' | 'ema',
): Pick<ExportSource, 'architecture' | 'backbone' | 'localProjector' | 'expander' | 'alpha' | 'weights'> {
  return {
    architecture: model.architecture,
    backbone: backboneOf(model),
    ...(loss.alpha < 1 && { localProjector: model.localProjector }),
    ...(loss.alpha > 0 && { expander: model.expander }),
    alpha: loss.alpha,
    weights: weights === 'ema' ? averagedWeights(tensors) : tensors,
  };
}
