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

/** A value for some of the outputs. */
export type ByOutput<T> = Partial<Record<CommonOutput, T>> & { [name: StageOutput]: T };

/** Images of one size, ready for the network: uint8 [B, H, W, 3]. */
export type ImageBatch = Tensor<'uint8'>;

/** float32 tensors, one for every requested output. */
export type EngineOutputs = ByOutput<Tensor<'float32'>>;

/** One of an engine's workers, as metrics show it. */
export interface WorkerStatus {
  /** Process id; absent while no process is running in this slot. */
  readonly pid?: number;
  /** `failed`: it died or could not start, and will be started again after a pause. */
  readonly state: 'starting' | 'idle' | 'busy' | 'failed';
  /** Resident memory in bytes, as of its last answer. */
  readonly rssBytes: number;
}

/**
 * Why a worker was replaced: it died (crash, out-of-memory kill), or it was killed because it hung, or because its runtime failed
 * both a request and the check after it.
 */
export type WorkerLoss = 'died' | 'hung' | 'broken';

/** Why no worker could be started: `model_changed` if a file of the model has changed since it was verified; else `other`. */
export type StartFailure = 'model_changed' | 'other';

export interface EngineStatus {
  /**
   * `ready`: all workers are running. `degraded`: some are; runs go to them. `recovering`: none is, but one is starting; runs
   * wait for it. `down`: none is, and the last start failed; runs are rejected until a later start succeeds.
   */
  readonly state: 'ready' | 'degraded' | 'recovering' | 'down';
  /** Why a worker is missing, for operators; may contain paths of this machine. */
  readonly reason?: string;
  /** The same without internal details, for callers. */
  readonly publicReason?: string;
  readonly workers: readonly WorkerStatus[];
  /** Number of replacements since the start, by the reason. */
  readonly restarts: Readonly<Record<WorkerLoss, number>>;
  /** Number of replacements that could not be started since the start, by the reason. */
  readonly startFailures: Readonly<Record<StartFailure, number>>;
  /** Total seconds that workers have spent on requests since the start. */
  readonly busySeconds: number;
}

/** Warms up one worker by runs on this worker; they throw as `Engine.run` does. */
export type WarmUp = (run: Engine['run']) => Promise<void>;

/** Runs one model. Implementations: ONNX Runtime in worker processes, and a fake for tests. */
export interface Engine {
  readonly manifest: Manifest;
  /** The execution provider in use. */
  readonly provider: 'cpu' | 'cuda';
  /** Outputs this model can compute. */
  readonly outputs: ReadonlySet<OutputName>;
  readonly status: EngineStatus;
  /** Number of idle workers. */
  readonly idle: number;
  /**
   * Calls back on every change of `idle` and of `status.state`.
   * @returns unsubscribes
   */
  watch(listener: () => void): () => void;
  /**
   * Warms up all workers in parallel, and from then on each replacement before it receives other work. Must be called before the
   * first run.
   * @param check run on a worker that failed as `internal`, before it receives other work: if it throws, the worker is killed and
   *   replaced. Default: the warm-up.
   * @throws what the warm-up throws; a replacement that cannot be warmed up counts as one that could not start.
   */
  warm(up: WarmUp, check?: WarmUp): Promise<void>;
  /**
   * Computes the requested outputs of a batch, as soon as a worker is idle. The batch must not be modified meanwhile.
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
  /** Finishes running and waiting work, then stops the workers. Safe to call twice. */
  close(): Promise<void>;
  /** Kills the workers, so that running and waiting work rejects as `unavailable`. Call `close` afterwards. */
  terminate(): void;
}

export type EngineErrorCode = 'unavailable' | 'invalid_input' | 'out_of_memory' | 'internal';

interface EngineErrorOptions extends ErrorOptions {
  readonly publicMessage?: string | undefined;
  readonly startFailure?: StartFailure;
}

/**
 * The error class of the engine layer; `code` determines the status that a client sees. `message` is for operators and their log: it
 * contains messages of the runtime and the system, with paths of this machine.
 */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;
  /** Message for callers, without paths. Absent: only what the code states. */
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
