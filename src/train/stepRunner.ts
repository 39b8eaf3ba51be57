import type { Collectives } from '../distributed/collectives.js';
import type { SessionConfig } from '../onnx/session.js';
import type { Tensor } from '../tensor/tensor.js';

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
  /** Weights and state by name; absent ones start as their initialiser defines. */
  readonly initial: ReadonlyMap<string, Tensor>;
  /** Seed of the initial values and of the drop-path decisions. */
  readonly seed: number;
  readonly session: SessionConfig;
  /** The processes that share each batch; the batches of a step have this one's photographs alone. Default: this one alone. */
  readonly collectives?: Collectives;
}

/** Whether every logged scalar of every step is a number. */
export function allFinite(terms: readonly StepTerms[]): boolean {
  return terms.every((step) => Object.values(step).every(Number.isFinite));
}
