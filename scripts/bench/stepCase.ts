import { type BackboneConfig, backboneNamed, headNorm, mapCells } from '../../src/nn/backbone.js';
import { adamw } from '../../src/optim/adamw.js';
import { lars } from '../../src/optim/lars.js';
import { startState } from '../../src/optim/state.js';
import { stream } from '../../src/tensor/random.js';
import { elementCount, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { PRECISIONS, type Precision } from '../../src/train/precision.js';
import { runState } from '../../src/train/runState.js';
import type { StepConfig } from '../../src/train/stepConfig.js';
import type { StepGraph } from '../../src/train/stepGraph.js';
import type { StepBatch } from '../../src/train/stepRunner.js';

/** The training step of the benchmarks: two views of one size, the loss and the optimizer of the paper. */

export interface StepCase {
  /** Name of a backbone, or of one of `smallestBackbones`. */
  readonly arch: string;
  /** Side of both views in pixels. */
  readonly size: number;
  readonly batch: number;
  /** Widths of the heads, such as 2048-2048-2048. */
  readonly expander: string;
  readonly projector: string;
  /** Default: fp32. */
  readonly precision?: Precision;
}

/** @throws Error for a text that is no precision, naming the flag. */
export function precisionOf(text: string): Precision {
  const found = PRECISIONS.find((precision) => precision === text);
  if (found === undefined) throw new Error(`--precision is ${text}; it is ${PRECISIONS.join(', ')}`);
  return found;
}

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 };
const LARS = { eta: 0.001, momentum: 0.9, weightDecay: 1e-6 };
export const LEARNING_RATE = 1e-4;

/**
 * The smallest networks with every kind of layer of a family, by name. They check a script, and measure nothing: ONNX Runtime
 * opens their training steps in a second instead of ten.
 */
const smallestBackbones: Readonly<Record<string, BackboneConfig>> = {
  smallest_convnext: { family: 'convnext', depths: [1, 1], widths: [8, 16] },
  smallest_resnet: { family: 'resnet', block: 'basic', layers: [1, 1, 1, 1], width: 8 },
};

const widths = (text: string) => text.split('-').map(Number);

/** Optimizers of the paper: LARS for networks with BatchNorm (ResNet), AdamW for those with LayerNorm (ConvNeXt). */
const OPTIMIZERS = {
  layer: { kind: 'adamw', settings: ADAMW, make: () => adamw(ADAMW) },
  batch: { kind: 'lars', settings: LARS, make: () => lars(LARS) },
} as const;

/** The configuration of the step, with the optimizer of the paper and without drop path. */
export function stepConfig({ arch, size, batch, expander, projector, precision = 'fp32' }: StepCase): StepConfig {
  const backbone = smallestBackbones[arch] ?? backboneNamed(arch);
  const cells = mapCells(backbone, size) ** 2;
  return {
    model: { backbone, expander: widths(expander), localProjector: widths(projector) },
    loss: {
      alpha: 0.75,
      numMatches: [Math.min(20, cells), Math.min(4, cells)],
      featureMatches: 'all',
      weights: { invariance: 25, variance: 25, covariance: 1 },
    },
    optimizer: OPTIMIZERS[headNorm(backbone)].make(),
    batchSize: batch,
    precision,
    viewSizes: [size, size],
    pixels: 'uint8',
    dropPath: false,
  };
}

/** The settings of the step that another implementation needs, besides its tensors. */
export function describeStep({ model, loss, precision }: StepConfig) {
  const { kind, settings } = OPTIMIZERS[headNorm(model.backbone)];
  return { ...model, ...loss, precision, optimizer: { kind, ...settings, learningRate: LEARNING_RATE } };
}

/** Initial weights and initial optimizer state. */
export function initialState(step: StepGraph, config: StepConfig, seed = 0): Map<string, Tensor> {
  return startState(runState(step, config), { initial: new Map(), seed });
}

/**
 * Images [B, H, W, C] of waves with random direction, length and colour. Their cells differ, so that no match depends on
 * rounding. Cells of plain noise are too similar for that.
 */
function wavePixels(shape: readonly [number, number, number, number], seed: number): Uint8Array {
  const [batch, rows, columns, channels] = shape;
  const random = stream(seed, 'waves');
  const pixels = new Uint8Array(elementCount(shape));
  const waves = 6;
  for (let image = 0; image < batch; image++) {
    const parts = Array.from({ length: waves * channels }, () => ({
      down: random.uniform(-0.15, 0.15),
      across: random.uniform(-0.15, 0.15),
      phase: random.uniform(0, 2 * Math.PI),
      height: random.uniform(5, 40),
    }));
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        for (let channel = 0; channel < channels; channel++) {
          let value = 128;
          for (let wave = 0; wave < waves; wave++) {
            const { down, across, phase, height } = parts[channel * waves + wave]!;
            value += height * Math.sin(down * row + across * column + phase);
          }
          pixels[((image * rows + row) * columns + column) * channels + channel] = Math.max(0, Math.min(255, value));
        }
      }
    }
  }
  return pixels;
}

/** Images and cell centres of one step. */
export function stepBatch({ model, batchSize, viewSizes }: StepConfig, seed = 0): StepBatch {
  const views = viewSizes.map((size, v) => {
    const shape = [batchSize, size, size, 3] as const;
    return tensor('uint8', shape, wavePixels(shape, seed + v));
  });
  const locations = viewSizes.map((size, v) => {
    const random = stream(seed, 'locations', v);
    const shape = [batchSize, mapCells(model.backbone, size) ** 2, 2];
    return tensor(
      'float32',
      shape,
      Float32Array.from({ length: elementCount(shape) }, () => random.uniform(0, size)),
    );
  });
  return { views, locations };
}
