import type { HeadMap } from '../../heads/segmentationHead.js';
import { type BackboneConfig, backboneStages } from '../../nn/backbone.js';
import { adamw } from '../../optim/adamw.js';
import type { Optimizer } from '../../optim/optimizer.js';
import { sgd } from '../../optim/sgd.js';
import type { FeatureNeeds, SubjectShape } from '../subjects/subject.js';

/** The two protocols of the paper's linear frozen segmentation, by the backbone's family (docs/evaluation.md, Segmentation). */
export interface SegmentationProtocol {
  /** In a sentence. */
  readonly text: string;
  readonly needs: FeatureNeeds;
  /** Outputs of a subject that the head reads, the finest first: of a baseline all of its own stages, however many. */
  readonly maps: 'last' | 'stages';
  readonly dropout: number;
  readonly optimizer: Optimizer;
  /** Names the optimizer and its settings. */
  readonly optimizerName: string;
  /** Learning rate of the first step. */
  readonly learningRate: number;
}

/** Exponent of the learning rate's polynomial decay to 0. */
const DECAY = 0.9;

/** Stride of a ResNet's last map in pixels. */
const RESNET_STRIDE = 8;

export function protocolOf(backbone: BackboneConfig): SegmentationProtocol {
  if (backbone.family === 'resnet') {
    return {
      text: `linear frozen segmentation: last map at output stride ${RESNET_STRIDE}, batch normalisation, dropout 0.1, 1 x 1 convolution`,
      needs: { outputStride: RESNET_STRIDE },
      maps: 'last',
      dropout: 0.1,
      optimizer: sgd({ momentum: 0.9, weightDecay: 5e-4, decayVectors: true }),
      optimizerName: 'SGD, momentum 0.9, weight decay 5e-4',
      learningRate: 0.01,
    };
  }
  return {
    text: `linear frozen segmentation: the maps of ${backboneStages(backbone).length} stages, not normalised, resized to the first one's and concatenated, batch normalisation, 1 x 1 convolution`,
    needs: { stages: true },
    maps: 'stages',
    dropout: 0,
    optimizer: adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 }),
    optimizerName: 'AdamW, betas 0.9 and 0.999, weight decay 0.01 of the kernel',
    learningRate: 1e-3,
  };
}

/** Learning rate of a step counted from 0. */
export function decayedRate(step: number, steps: number, first: number): number {
  return first * (1 - step / steps) ** DECAY;
}

/** The maps of a protocol with the sizes that they have in a subject. */
export function headMaps(
  { maps }: Pick<SegmentationProtocol, 'maps'>,
  { outputs }: Pick<SubjectShape, 'outputs'>,
): HeadMap[] {
  const found = [...outputs].flatMap(([name, { channels, stride }]): HeadMap[] =>
    stride !== undefined && (maps === 'last' ? name === 'maps' : /^stage\d+$/.test(name))
      ? [{ name, channels, stride }]
      : [],
  );
  if (found.length === 0) throw new RangeError(`the subject has no ${maps === 'last' ? 'map' : 'maps of stages'}`);
  return found.sort((a, b) => a.stride - b.stride);
}
