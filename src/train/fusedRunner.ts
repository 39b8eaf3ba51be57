import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { encodeModel } from '../onnx/encode.js';
import { createSession, toOrt } from '../onnx/session.js';
import { type Tensor, tensor, zeros } from '../tensor/tensor.js';
import { drawDropPath } from './dropPath.js';
import { type StepConfig, stepNames } from './stepConfig.js';
import { buildStep } from './stepGraph.js';
import { type RunnerOptions, type StepRunner, startState, stateSpecs } from './stepRunner.js';

/** Runs the step as one graph over the whole batch. */
export async function createFusedRunner(config: StepConfig, options: RunnerOptions): Promise<StepRunner> {
  const { dropPathRate, seed } = options;
  const step = buildStep(config);
  const specs = stateSpecs(step, config);
  const ort: InferenceSession = await createSession(encodeModel(step.graph), options.session);
  // Two sets of buffers take turns: a step reads one and writes the other, so that nothing is allocated per step.
  let current = startState(specs, options);
  let next = new Map<string, Tensor>(specs.map(({ name, shape }) => [name, zeros('float32', shape)]));
  const logs = new Map(step.logs.map((name) => [name, zeros('float32', [])]));

  return {
    state: () => current,
    close: () => ort.release(),
    async run(at, learningRate, batch) {
      const feeds: Record<string, OrtTensor> = {};
      for (const [name, value] of current) feeds[name] = toOrt(value);
      for (const [name, value] of Object.entries(config.optimizer.scalarValues(at, learningRate))) {
        feeds[name] = toOrt(tensor('float32', [], Float32Array.of(value)));
      }
      config.viewSizes.forEach((_, view) => {
        feeds[stepNames.view(view)] = toOrt(batch.views[view]!);
        if (config.loss.alpha < 1) feeds[stepNames.locations(view)] = toOrt(batch.locations[view]!);
        if (config.dropPath) {
          const scales = drawDropPath(config.model.backbone, dropPathRate, config.batchSize, { seed, step: at, view });
          feeds[stepNames.dropPath(view)] = toOrt(scales);
        }
      });
      if (config.classes !== undefined) feeds[stepNames.labels] = toOrt(batch.labels!);
      const fetches: Record<string, OrtTensor> = {};
      for (const [name, value] of next) fetches[stepNames.updated(name)] = toOrt(value);
      for (const [name, value] of logs) fetches[name] = toOrt(value);
      await ort.run(feeds, fetches);
      const terms = Object.fromEntries([...logs].map(([name, { data }]) => [name, Number(data[0])]));
      if (Object.values(terms).every(Number.isFinite)) [current, next] = [next, current];
      return terms;
    },
  };
}
