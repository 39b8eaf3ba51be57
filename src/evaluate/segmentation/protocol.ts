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

export interface ProtocolOptions {
  readonly weightDecay?: number | undefined;
}

/** Stride of a ResNet's last map in pixels. */
const RESNET_STRIDE = 8;

/** @param weightDecay in place of the protocol's own */
export function protocolOf(backbone: BackboneConfig, { weightDecay }: ProtocolOptions = {}): SegmentationProtocol {
  if (backbone.family === 'resnet') {
    const decay = weightDecay ?? 5e-4;
    return {
      text: `linear frozen segmentation: last map at output stride ${RESNET_STRIDE}, batch normalisation, dropout 0.1, 1 x 1 convolution`,
      needs: { outputStride: RESNET_STRIDE },
      maps: 'last',
      dropout: 0.1,
      optimizer: sgd({ momentum: 0.9, weightDecay: decay, decayVectors: true }),
      optimizerName: `SGD, momentum 0.9, weight decay ${decay === 5e-4 ? '5e-4' : decay}`,
      learningRate: 0.01,
    };
  }
  const decay = weightDecay ?? 0.01;
  return {
    text: `linear frozen segmentation: the maps of ${backboneStages(backbone).length} stages, not normalised, resized to the first one's and concatenated, batch normalisation, 1 x 1 convolution`,
    needs: { stages: true },
    maps: 'stages',
    dropout: 0,
    optimizer: adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: decay }),
    optimizerName: `AdamW, betas 0.9 and 0.999, weight decay ${decay} of the kernel`,
    learningRate: 1e-3,
  };
}

/** The learning rate of a head's training. */
export interface HeadSchedule {
  readonly steps: number;
  /** The highest rate. */
  readonly learningRate: number;
  /** Exponent of the polynomial decay. */
  readonly decayPower: number;
  /** Steps in which the rate rises linearly; 0 for none. */
  readonly warmupSteps: number;
  /** The rate at which the decay ends. */
  readonly endLearningRate: number;
}

/** What both protocols have unless it is set. */
export const SCHEDULE_DEFAULTS = { decayPower: 0.9, warmupSteps: 0, endLearningRate: 0 } as const;

/** A schedule for keys of caches and options of results, without defaults: those of earlier versions have no more. */
export function scheduleKeys({ steps, learningRate, ...rest }: HeadSchedule) {
  const changed = Object.entries(rest).filter(([key, value]) => value !== SCHEDULE_DEFAULTS[key as keyof typeof rest]);
  return { steps, learningRate, ...Object.fromEntries(changed) };
}

/** Share of the rate at which a warm-up begins. */
const WARMUP_START = 1e-6;

/** Learning rate of a step counted from 0: that of mmsegmentation's `poly` policy with its linear warm-up. */
export function headRate(step: number, schedule: HeadSchedule): number {
  const { steps, learningRate, decayPower, warmupSteps, endLearningRate } = schedule;
  const rate = endLearningRate + (learningRate - endLearningRate) * (1 - step / steps) ** decayPower;
  return step < warmupSteps ? rate * (WARMUP_START + ((1 - WARMUP_START) * step) / warmupSteps) : rate;
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
