import { ZEROS } from '../nn/layers.js';
import { initialise, type ParameterSpec } from '../nn/parameters.js';
import type { SessionConfig } from '../onnx/session.js';
import type { Tensor } from '../tensor/tensor.js';
import type { NetworkSpecs } from './networkSpecs.js';
import { type StepConfig, stepNames } from './stepConfig.js';

/** Photographs of one step. */
export interface StepBatch {
  /** uint8 [B, S, S, 3], in view order. */
  readonly views: readonly Tensor[];
  /** float32 [B, P, 2], in view order. */
  readonly locations: readonly Tensor[];
  /** int64 [B]. */
  readonly labels?: Tensor;
}

/** One step to take. */
export interface TrainingStep {
  /** Counted from 0. */
  readonly step: number;
  readonly learningRate: number;
  readonly batch: StepBatch;
}

/** Logged scalars of a step by name. */
export type StepTerms = Readonly<Record<string, number>>;

/** Runs training steps and holds the weights and the optimizer's state between them. */
export interface StepRunner {
  /** Most steps of one call. */
  readonly stepsPerRun: number;
  /**
   * Takes consecutive steps, at most `stepsPerRun`, and returns their logged scalars. When one of these is not finite the
   * weights stay those of before the first step.
   */
  run(steps: readonly TrainingStep[]): Promise<StepTerms[]>;
  /** Weights and state, by input name; valid until the next run. */
  state(): ReadonlyMap<string, Tensor>;
  close(): Promise<void>;
}

export interface RunnerOptions {
  /** Drop probability of the last block. */
  readonly dropPathRate: number;
  /** Weights and state by name; what is absent starts as its initialiser says. */
  readonly initial: ReadonlyMap<string, Tensor>;
  /** Seed of the initial values and of the drop-path decisions. */
  readonly seed: number;
  readonly session: SessionConfig;
}

/** Whether every logged scalar of every step is a number. */
export function allFinite(terms: readonly StepTerms[]): boolean {
  return terms.every((step) => Object.values(step).every(Number.isFinite));
}

/** A tensor that persists between steps and is saved in checkpoints. */
export interface StateSpec extends ParameterSpec {
  /** The parameter whose initial value it has, in place of its own initialiser. */
  readonly startsAt?: ParameterSpec;
}

/** Everything a checkpoint holds: parameters, their optimizer state, running statistics. */
export function stateSpecs(
  { parameters, buffers }: NetworkSpecs,
  { optimizer }: Pick<StepConfig, 'optimizer'>,
): StateSpec[] {
  const copies = new Set(optimizer.slotsFromParameter);
  const slots = parameters.flatMap((parameter) =>
    optimizer.slots.map((slot) => ({
      name: stepNames.state(slot, parameter.name),
      shape: parameter.shape,
      initialiser: ZEROS,
      ...(copies.has(slot) && { startsAt: parameter }),
    })),
  );
  return [...parameters, ...slots, ...buffers];
}

/** The state in which a run starts: `initial`'s, then what starts at a parameter's value, then the initialisers'. */
export function startState(
  specs: readonly StateSpec[],
  { initial, seed }: Pick<RunnerOptions, 'initial' | 'seed'>,
): Map<string, Tensor> {
  const state = new Map<string, Tensor>();
  for (const spec of specs) {
    const { name, startsAt } = spec;
    // Parameters stand before what starts at them. A copy, since the steps write into the state's tensors.
    const parameter = startsAt && state.get(startsAt.name);
    const start = parameter && { ...parameter, data: parameter.data.slice() };
    state.set(name, initial.get(name) ?? start ?? initialise(spec, seed));
  }
  return state;
}
