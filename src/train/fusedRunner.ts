import { encodeModel } from '../onnx/encode.js';
import type { Tensor as OrtTensor } from '../onnx/runtime.js';
import { createSession, TRAINING_SESSION, toOrt } from '../onnx/session.js';
import { startState } from '../optim/state.js';
import { stack, type Tensor, zeros } from '../tensor/tensor.js';
import { withoutOverflow } from './lossScale.js';
import { repeatStep } from './repeatedStep.js';
import { runState } from './runState.js';
import { type StepConfig, stepNames } from './stepConfig.js';
import { stepFeeds } from './stepFeeds.js';
import { buildStep } from './stepGraph.js';
import { allFinite, type RunnerOptions, type StepRunner } from './stepRunner.js';

/**
 * Runs the step as one graph over the whole batch.
 * @param stepsPerRun more than 1: the graph repeats the step (see repeatStep), which spares a GPU the copies of weights
 *   and state in between. Costs the memory of twice as many batches: they are stacked.
 */
export async function createFusedRunner(
  config: StepConfig,
  options: RunnerOptions,
  stepsPerRun = 1,
): Promise<StepRunner> {
  const step = buildStep(config, { provider: options.session.device ?? 'cpu' });
  const specs = runState(step, config);
  const repeats = stepsPerRun > 1;
  const graph = repeats
    ? repeatStep(
        step,
        specs.map(({ name }) => name),
      )
    : step.graph;
  const ort = await createSession(encodeModel(graph), { ...TRAINING_SESSION, ...options.session });
  // Double buffering: a run reads one set of buffers and writes the other, so that nothing is allocated per step.
  let current = startState(specs, options);
  let next = new Map<string, Tensor>(specs.map(({ name, shape }) => [name, zeros('float32', shape)]));

  return {
    stepsPerRun,
    state: () => current,
    close: () => ort.release(),
    async run(steps) {
      const each = steps.map((one) => stepFeeds(config, options, one));
      const feeds: Record<string, OrtTensor> = {};
      for (const [name, value] of current) feeds[name] = toOrt(value);
      for (const [name, value] of each[0]!) {
        feeds[name] = toOrt(repeats ? stack(each.map((of) => of.get(name)!)) : value);
      }
      const fetches: Record<string, OrtTensor> = {};
      for (const [name, value] of next) fetches[stepNames.updated(name)] = toOrt(value);
      const logs = new Map(step.logs.map((name) => [name, zeros('float32', repeats ? [steps.length] : [])]));
      for (const [name, value] of logs) fetches[name] = toOrt(value);
      await ort.run(feeds, fetches);
      const terms = steps.map((_, i) =>
        withoutOverflow(Object.fromEntries([...logs].map(([name, { data }]) => [name, Number(data[i])]))),
      );
      if (allFinite(terms)) [current, next] = [next, current];
      return terms;
    },
  };
}
