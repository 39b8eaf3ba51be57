import { createLoader } from '../../src/data/loader.js';
import { openImageSource } from '../../src/data/sources.js';
import type { BackboneConfig } from '../../src/nn/backbone.js';
import { learningRate } from '../../src/optim/schedule.js';
import { parseTrainConfig, type TrainConfig } from '../../src/train/config.js';
import { createStepRunner } from '../../src/train/createStepRunner.js';
import { loaderOptionsOf, scheduleOf, stepConfigOf } from '../../src/train/plan.js';
import type { StepTerms } from '../../src/train/stepRunner.js';
import { numbers } from './graphs.js';

/** Checks whether the optimizer and rates of a configuration train a network of a few thousand weights. */

export interface Learned {
  /** Total loss, as the mean of the first and of the last tenth of the steps. */
  readonly first: number;
  readonly last: number;
  /** Median of |end - start| / |start| over the weight matrices. */
  readonly moved: number;
}

/** Photographs of a step. */
export const BATCH = 8;
/** Number of batches that alternate. */
const BATCHES = 2;

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * A small version of a configuration: two views of 32 px, narrow heads, batches of 8, and a number of steps of which the first
 * tenth are warm-up. It keeps the optimizer and the loss of the configuration.
 */
export function shrunk(config: TrainConfig, source: string, steps: number): TrainConfig {
  const { loss, crops } = config;
  const epochs = steps / BATCHES;
  return parseTrainConfig(
    {
      ...config,
      data: { source },
      crops: { size: 32, scale: crops.scale },
      model: {
        architecture: 'custom',
        depths: [1, 1],
        widths: [8, 16],
        expander: [32, 32],
        localProjector: [16, 16],
        dropPath: 0,
      },
      loss: { ...loss, numMatches: [1, 1] },
      batchSize: BATCH,
      epochs,
      warmupEpochs: epochs / 10,
      threads: 1,
    },
    'a shrunk configuration',
  );
}

/**
 * Runs the steps of a configuration on two alternating batches, once for each of the base rates, from the same initial weights.
 * @param backbone replaces the backbone of the configuration
 */
export async function learn(
  config: TrainConfig,
  { baseLrs, backbone }: { readonly baseLrs: readonly number[]; readonly backbone?: BackboneConfig | undefined },
): Promise<Learned[]> {
  const source = await openImageSource(config.data.source);
  const step = stepConfigOf(config, undefined);
  const options = loaderOptionsOf(config, source);
  const views = options.views.map((view) => ({ ...view, ...(backbone && { cells: view.size / 32 }) }));
  const loader = createLoader({ ...options, views });
  const runner = await createStepRunner(
    backbone === undefined ? step : { ...step, model: { ...step.model, backbone }, dropPath: false },
    { dropPathRate: 0, initial: new Map(), seed: config.seed, session: { threads: 1 } },
    1,
  );
  try {
    const batches = await Promise.all(Array.from({ length: BATCHES }, (_, i) => loader.batch(i)));
    const start = new Map([...runner.state()].map(([name, { data }]) => [name, (data as Float32Array).slice()]));
    const learned: Learned[] = [];
    for (const baseLr of baseLrs) {
      // The next step reads the tensors of the state.
      for (const [name, { data }] of runner.state()) (data as Float32Array).set(start.get(name)!);
      const schedule = { ...scheduleOf(config, BATCHES), baseLr };
      const terms: StepTerms[] = [];
      for (let at = 0; at < schedule.totalSteps; at++) {
        const batch = batches[at % BATCHES]!;
        terms.push(...(await runner.run([{ step: at, learningRate: learningRate(at, schedule), batch }])));
      }
      const moved = [...runner.state()]
        .filter(([name, { shape }]) => !name.includes('/') && shape.length > 1)
        .map(([name, end]) => {
          const from = start.get(name)!;
          return Math.hypot(...numbers(end).map((value, i) => value - from[i]!)) / Math.hypot(...from);
        })
        .sort((a, b) => a - b);
      const tenth = terms.length / 10;
      learned.push({
        first: mean(terms.slice(0, tenth).map((term) => term['l']!)),
        last: mean(terms.slice(-tenth).map((term) => term['l']!)),
        moved: moved[moved.length >> 1]!,
      });
    }
    return learned;
  } finally {
    await runner.close();
    await loader.close();
    await source.close();
  }
}
