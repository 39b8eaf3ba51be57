import { headNorm } from '../nn/backbone.js';
import type { Optimizer } from '../optim/optimizer.js';
import { stateName, updatedName } from '../optim/state.js';
import type { LossConfig } from '../vicregl/loss.js';
import type { ModelConfig } from './model.js';
import type { Precision } from './precision.js';

/** What a training step computes, in one graph or in several, and the names of their inputs and outputs. */
export interface StepConfig {
  readonly model: ModelConfig;
  readonly loss: LossConfig;
  readonly optimizer: Optimizer;
  /** Largest global norm of the gradients; they are scaled down to it. No limit when absent. */
  readonly clipNorm?: number;
  readonly batchSize: number;
  /** Of the network's products; fp32 by default. */
  readonly precision?: Precision;
  /** Photographs of one forward pass; divides batchSize. All of them when absent. */
  readonly microBatch?: number;
  /** With several ranks, whether batch normalisation has the statistics of all of them. Default true. */
  readonly syncBatchNorm?: boolean;
  /** Side of each view in pixels, in view order. */
  readonly viewSizes: readonly number[];
  /** uint8 pixels are normalised in the graph; float32 ones are taken as normalised. */
  readonly pixels: 'uint8' | 'float32';
  /** Residual branches are scaled by an input [B, blocks] per view. */
  readonly dropPath: boolean;
  /** Classes of the online classifier on the detached representation of view 0; none when absent. */
  readonly classes?: number;
}

/** Whether a step takes its batch in parts. */
export function isMicroBatched<C extends Pick<StepConfig, 'batchSize' | 'microBatch'>>(
  config: C,
): config is C & { readonly microBatch: number } {
  return config.microBatch !== undefined && config.microBatch !== config.batchSize;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/**
 * Photographs of one forward pass of a rank. Where the network normalises each photograph alone, microBatch only bounds the memory, and passes
 * are as large as the rank's part of the batch allows; where it normalises over a batch, passes are those that were asked for. A
 * microBatch of the whole batch asks for no parts.
 */
export function passSize(config: StepConfig, ranks: number): number {
  const own = config.batchSize / ranks;
  if (!isMicroBatched(config)) return own;
  return headNorm(config.model.backbone) === 'layer' ? gcd(config.microBatch, own) : config.microBatch;
}

/** Photographs over which batch normalisation takes its statistics; undefined for a network without it. */
export function statisticsSize(config: StepConfig, ranks: number): number | undefined {
  const { model, syncBatchNorm = true } = config;
  if (headNorm(model.backbone) === 'layer') return undefined;
  return passSize(config, ranks) * (syncBatchNorm ? ranks : 1);
}

export const stepNames = {
  view: (v: number) => `view.${v}`,
  locations: (v: number) => `locations.${v}`,
  dropPath: (v: number) => `drop_path.${v}`,
  labels: 'labels',
  state: stateName,
  updated: updatedName,
  gradient: (parameter: string) => `gradient/${parameter}`,
} as const;
