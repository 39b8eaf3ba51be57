import type { NearestSearch } from '../match/nearest.js';
import type { Manifest } from '../models/manifest.js';
import type { Tensor } from '../tensor/tensor.js';

/**
 * What a model computes. Names and shapes as in the exported graphs:
 * - `representation` [B, C]: mean of the backbone's map over its cells
 * - `maps` [B, h, w, C]: the backbone's map
 * - `embedding` [B, D]: expander of the representation (models with an expander only)
 * - `maps_embedding` [B, h, w, D']: local projector of every cell (models with a local projector only)
 * - `stage1`, `stage2`, ... [B, h_s, w_s, C_s]: maps of the backbone's stages (models exported with them only)
 */
export type OutputName = CommonOutput | StageOutput;

type CommonOutput = 'representation' | 'maps' | 'embedding' | 'maps_embedding';

/** Name of a stage's map, counted from 1. */
export type StageOutput = `stage${number}`;

export function isStageOutput(name: string): name is StageOutput {
  return /^stage[1-9]\d*$/.test(name);
}

/** Something for some of the outputs. */
export type ByOutput<T> = Partial<Record<CommonOutput, T>> & { [name: StageOutput]: T };

/** Images of one size, ready for the network: uint8 [B, H, W, 3]. */
export type ImageBatch = Tensor<'uint8'>;

/** float32 tensors, one for every output that was asked for. */
export type EngineOutputs = ByOutput<Tensor<'float32'>>;

/** One of an engine's workers, as metrics show it. */
export interface WorkerStatus {
  /** Process id; absent while none stands in this place. */
  readonly pid?: number;
  /** `failed`: it died or could not start, and is tried again after a while. */
  readonly state: 'starting' | 'idle' | 'busy' | 'failed';
  /** Resident memory in bytes, as of its last answer. */
  readonly rssBytes: number;
}

/**
 * Why a worker was replaced: it ended (a crash, a kill for memory), or it was killed, because its work did not come back or
 * because its runtime failed at a request and then at the check as well.
 */
export type WorkerLoss = 'died' | 'hung' | 'broken';

/** Why no worker could be started: `model_changed`, a file of the model is no longer what was verified; `other`, all else. */
export type StartFailure = 'model_changed' | 'other';

export interface EngineStatus {
  /**
   * `ready`: every worker stands. `degraded`: some do; runs go to them. `recovering`: none does, but one is starting; runs
   * wait for it. `down`: none stands and the last start failed; runs are refused until a later one succeeds.
   */
  readonly state: 'ready' | 'degraded' | 'recovering' | 'down';
  /** Why a worker is missing, for operators: it may name paths of this machine. */
  readonly reason?: string;
  /** The same as callers may read it. */
  readonly publicReason?: string;
  readonly workers: readonly WorkerStatus[];
  /** Workers that took the place of lost ones since the start, by what became of those. */
  readonly restarts: Readonly<Record<WorkerLoss, number>>;
  /** Workers that could not be started in the place of lost ones since the start, by the reason. */
  readonly startFailures: Readonly<Record<StartFailure, number>>;
  /** Seconds that workers have spent on requests, all together, since the start. */
  readonly busySeconds: number;
}

/** Makes one worker ready for requests by runs that this worker alone does; they throw as `Engine.run` does. */
export type WarmUp = (run: Engine['run']) => Promise<void>;

/** Runs one model. Implementations: ONNX Runtime in worker processes, and a fake for tests. */
export interface Engine {
  readonly manifest: Manifest;
  /** The execution provider that really runs. */
  readonly provider: 'cpu' | 'cuda';
  /** Outputs this model can compute. */
  readonly outputs: ReadonlySet<OutputName>;
  readonly status: EngineStatus;
  /** Workers that would begin a run at once. */
  readonly idle: number;
  /**
   * Tells of every change of `idle` and of `status.state`.
   * @returns ends the telling
   */
  watch(listener: () => void): () => void;
  /**
   * Warms every worker, side by side, and from then on each that takes the place of a lost one before that takes any other
   * work. To be called before the first run.
   * @param check what a worker that failed as `internal` does before it takes other work: where it throws, the worker is
   *   killed and replaced. Default: the warm-up.
   * @throws what the warm-up throws; a replacement that cannot be warmed counts as one that could not start.
   */
  warm(up: WarmUp, check?: WarmUp): Promise<void>;
  /**
   * Computes the wanted outputs of a batch, as soon as a worker is free. The batch must not be written to meanwhile.
   * @throws EngineError with code `unavailable` (closed, no worker, or its worker died or hung), `invalid_input` (shape, or an
   *   output that the model lacks), `out_of_memory` (a smaller batch may fit) or `internal` (the runtime failed).
   */
  run(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs>;
  /**
   * Nearest neighbours between two sets of vectors, in both directions, by a tiled product (`searchNearest`). Takes a worker
   * as a run does.
   * @throws EngineError as `run` does; MatchError `not_finite`; the signal's reason as soon as it is aborted.
   */
  readonly nearest: NearestSearch;
  /** Finishes what runs and what waits, then ends the workers. Safe to call twice. */
  close(): Promise<void>;
  /** Waits no longer: kills the workers, so that what runs and waits rejects as `unavailable`. To be followed by `close`. */
  terminate(): void;
}

export type EngineErrorCode = 'unavailable' | 'invalid_input' | 'out_of_memory' | 'internal';

interface EngineErrorOptions extends ErrorOptions {
  readonly publicMessage?: string | undefined;
  readonly startFailure?: StartFailure;
}

/**
 * The engine layer's one error; `code` decides the status that a client sees. `message` is for operators and their log: it has
 * what the runtime and the system say, with paths of this machine.
 */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;
  /** What callers may read of it: our own words, without paths. Absent: no more than what the code says. */
  readonly publicMessage: string | undefined;
  /** Of `unavailable`: why a worker could not be started. */
  readonly startFailure: StartFailure | undefined;

  constructor(code: EngineErrorCode, message: string, options?: EngineErrorOptions) {
    super(message, options);
    this.code = code;
    this.publicMessage = options?.publicMessage;
    this.startFailure = options?.startFailure;
  }
}
