import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { dropPathBlocks } from '../nn/backbone.js';
import { keepProbabilities } from '../nn/convnext.js';
import { ZEROS } from '../nn/layers.js';
import { initialise, type ParameterSpec } from '../nn/parameters.js';
import { encodeModel } from '../onnx/encode.js';
import { createSession, type SessionConfig, toOrt } from '../onnx/session.js';
import { stream } from '../tensor/random.js';
import { type Tensor, tensor, zeros } from '../tensor/tensor.js';
import { type StepConfig, type StepGraph, stepNames } from './stepGraph.js';

/** Photographs of one step. */
export interface StepBatch {
  /** uint8 [B, S, S, 3], in view order. */
  readonly views: readonly Tensor[];
  /** float32 [B, P, 2], in view order. */
  readonly locations: readonly Tensor[];
  /** int64 [B]. */
  readonly labels?: Tensor;
}

/** Runs training steps and holds the weights and the optimizer's state between them. */
export interface StepRunner {
  /**
   * Takes step number `step` (from 0) and returns the logged scalars. When one is not finite the weights stay those of
   * before the step.
   */
  run(step: number, learningRate: number, batch: StepBatch): Promise<Readonly<Record<string, number>>>;
  /** Weights and state, by input name; valid until the next run. */
  state(): ReadonlyMap<string, Tensor>;
  close(): Promise<void>;
}

type Buffers = Map<string, Tensor>;

/** Everything a checkpoint holds: parameters, their optimizer state (starting at zero), running statistics. */
export function stateSpecs(
  { parameters, buffers }: StepGraph,
  { optimizer }: Pick<StepConfig, 'optimizer'>,
): ParameterSpec[] {
  const slots = parameters.flatMap(({ name, shape }) =>
    optimizer.slots.map((slot) => ({ name: stepNames.state(slot, name), shape, initialiser: ZEROS })),
  );
  return [...parameters, ...slots, ...buffers];
}

/**
 * @param initial weights and state by name; what is absent starts as its initialiser says.
 * @param seed of initial values and of the drop-path decisions.
 */
export async function createStepRunner(
  step: StepGraph,
  config: StepConfig,
  dropPathRate: number,
  initial: ReadonlyMap<string, Tensor>,
  seed: number,
  session: SessionConfig,
): Promise<StepRunner> {
  const specs = stateSpecs(step, config);
  const ort: InferenceSession = await createSession(encodeModel(step.graph), session);
  // Two sets of buffers take turns: a step reads one and writes the other, so that nothing is allocated per step.
  let current: Buffers = new Map(specs.map((spec) => [spec.name, initial.get(spec.name) ?? initialise(spec, seed)]));
  let next: Buffers = new Map(specs.map(({ name, shape }) => [name, zeros('float32', shape)]));
  const logs = new Map(step.logs.map((name) => [name, zeros('float32', [])]));
  const keep = keepProbabilities(dropPathBlocks(config.model.backbone), dropPathRate);

  const dropPathScales = (at: number, view: number): Tensor => {
    const random = stream(seed, 'drop_path', at, view);
    const scales = new Float32Array(config.batchSize * keep.length);
    for (let i = 0; i < scales.length; i++) {
      const probability = keep[i % keep.length]!;
      scales[i] = random.bernoulli(probability) ? 1 / probability : 0;
    }
    return tensor('float32', [config.batchSize, keep.length], scales);
  };

  return {
    state: () => current,
    close: () => ort.release(),
    async run(at, learningRate, batch) {
      const feeds: Record<string, OrtTensor> = {};
      for (const [name, value] of current) feeds[name] = toOrt(value);
      for (const [name, value] of Object.entries(config.optimizer.scalarValues(at, learningRate))) {
        feeds[name] = toOrt(tensor('float32', [], Float32Array.of(value)));
      }
      config.viewSizes.forEach((_, v) => {
        feeds[stepNames.view(v)] = toOrt(batch.views[v]!);
        if (config.loss.alpha < 1) feeds[stepNames.locations(v)] = toOrt(batch.locations[v]!);
        if (config.dropPath) feeds[stepNames.dropPath(v)] = toOrt(dropPathScales(at, v));
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
