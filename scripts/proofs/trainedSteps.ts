import { type Batch, createLoader } from '../../src/data/loader.js';
import type { ImageSource } from '../../src/data/sources.js';
import { encodeModel } from '../../src/onnx/encode.js';
import type { Graph } from '../../src/onnx/graph.js';
import { createSession, runSession, TRAINING_SESSION } from '../../src/onnx/session.js';
import { learningRate } from '../../src/optim/schedule.js';
import { startState } from '../../src/optim/state.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { TrainConfig } from '../../src/train/config.js';
import { loaderOptionsOf, scheduleOf, stepConfigOf } from '../../src/train/plan.js';
import { runState } from '../../src/train/runState.js';
import { stepNames } from '../../src/train/stepConfig.js';
import { stepFeeds } from '../../src/train/stepFeeds.js';
import { buildStep } from '../../src/train/stepGraph.js';
import type { StepTerms } from '../../src/train/stepRunner.js';

/** What a proof changes in a training. */
export interface Changes {
  /** Gives the graph that is run in place of the step's own, with the same inputs and at least its outputs. */
  readonly graph?: (graph: Graph) => Graph;
  /** Gives the batch in place of the one that was drawn. */
  readonly batch?: (batch: Batch) => Batch;
}

/** What a step gives. */
export interface TrainedStep {
  /** The logged terms. */
  readonly terms: StepTerms;
  /** All outputs of the graph, also those that `graph` has declared. */
  readonly results: ReadonlyMap<string, Tensor>;
}

/** A training from random weights, step by step, as `vicregl train` runs it on the CPU, with a graph or batches of the caller's. */
export async function* trainedSteps(
  config: TrainConfig,
  source: ImageSource,
  steps: number,
  { graph = (own) => own, batch = (drawn) => drawn }: Changes = {},
): AsyncGenerator<TrainedStep> {
  const stepConfig = stepConfigOf(config, undefined);
  const step = buildStep(stepConfig);
  const session = await createSession(encodeModel(graph(step.graph)), TRAINING_SESSION);
  const loader = createLoader(loaderOptionsOf(config, source));
  const schedule = scheduleOf(config, Math.floor(source.count / config.batchSize));
  const options = { dropPathRate: config.model.dropPath, seed: config.seed };
  let state = startState(runState(step, stepConfig), { initial: new Map(), seed: config.seed });
  try {
    for (let at = 0; at < steps; at++) {
      const taken = { step: at, learningRate: learningRate(at, schedule), batch: batch(await loader.batch(at)) };
      const results = await runSession(session, new Map([...state, ...stepFeeds(stepConfig, options, taken)]));
      state = new Map([...state.keys()].map((name) => [name, results.get(stepNames.updated(name))!]));
      const logs = step.logs.map((name) => [name, Number(results.get(name)!.data[0])] as const);
      yield { terms: Object.fromEntries(logs), results };
    }
  } finally {
    await loader.close();
    await session.release();
  }
}
