import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { stream } from '../../src/tensor/random.js';
import type { CheckpointChoice } from '../../src/train/checkpoint.js';
import { parseTrainConfig, type TrainConfig } from '../../src/train/config.js';
import type { InitialWeightsOptions } from '../../src/train/initialWeights.js';
import type { Progress } from '../../src/train/progress.js';
import { type TrainOptions, type TrainResult, train } from '../../src/train/trainer.js';
import './sharedSessions.js';

/** Training runs of a few seconds: the smallest network on generated photographs. */

/** A JPEG of 80 x 72 pixels with blobs of colour that depend on the seed. */
async function photograph(seed: number): Promise<Buffer> {
  const random = stream(seed, 'photograph');
  const coarse = Uint8Array.from({ length: 6 * 5 * 3 }, () => random.integer(256));
  return sharp(coarse, { raw: { width: 6, height: 5, channels: 3 } })
    .resize(80, 72, { fit: 'fill', kernel: 'cubic' })
    .jpeg()
    .toBuffer();
}

/** Writes photographs under the given names (with folders) and returns their bytes by name. */
export async function writePhotographs(folder: string, names: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const [seed, name] of names.entries()) {
    const bytes = await photograph(seed);
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
    files.set(name, bytes);
  }
  return files;
}

/**
 * Keys of the configuration. Crops of 64 pixels have maps of 64 cells. Two stages and heads of two layers include every kind
 * of layer, and ONNX Runtime opens their graph in half the time of one with four stages.
 */
export function tinyKeys(source: string) {
  return {
    name: 'tiny',
    seed: 3,
    data: { source },
    crops: { size: 64, scale: [0.3, 1] },
    model: {
      architecture: 'custom',
      depths: [1, 1],
      widths: [8, 16],
      expander: [24, 24],
      localProjector: [16, 16],
      dropPath: 0.2,
    },
    loss: { alpha: 0.75, numMatches: [3, 2] },
    optimizer: { baseLr: 0.05 },
    batchSize: 4,
    epochs: 2,
    warmupEpochs: 0.5,
    threads: 1,
    checkpoints: { every: 100 },
  };
}

/** The tiny configuration with some of its top keys replaced. */
export function tinyConfig(source: string, keys: Readonly<Record<string, unknown>> = {}): TrainConfig {
  return parseTrainConfig({ ...tinyKeys(source), ...keys }, 'the tiny configuration');
}

interface Watched {
  readonly resume?: boolean;
  readonly checkpoint?: CheckpointChoice;
  readonly init?: InitialWeightsOptions;
  /** Whether curves are drawn, which takes longer than the run. */
  readonly curves?: boolean;
  readonly signal?: AbortSignal;
  readonly progress?: Partial<Progress>;
}

/** Trains on the CPU without output. */
export function trainTiny(
  run: string,
  config: TrainConfig,
  { resume = false, checkpoint, init, curves = false, signal, progress = {} }: Watched = {},
): Promise<TrainResult> {
  const silent: Progress = { step: () => undefined, note: () => undefined, stop: () => undefined, ...progress };
  const options: TrainOptions = {
    run,
    device: 'cpu',
    resume,
    curves,
    createProgress: () => silent,
    ...(checkpoint !== undefined && { checkpoint }),
    ...(init && { init }),
    ...(signal && { signal }),
  };
  return train(config, options);
}

/** Trains until a step is done, as a signal to the process would end it. */
export function trainUntil(
  run: string,
  config: TrainConfig,
  step: number,
  resume = false,
  init?: InitialWeightsOptions,
): Promise<TrainResult> {
  const stop = new AbortController();
  return trainTiny(run, config, {
    resume,
    ...(init && { init }),
    signal: stop.signal,
    progress: {
      step: (record) => {
        if (record.step === step) stop.abort();
      },
    },
  });
}
