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
  /** Process id; absent while there is no process. */
  readonly pid?: number;
  /** `failed`: it died or could not start, and will be started again after a pause. */
  readonly state: 'starting' | 'idle' | 'busy' | 'failed';
  /** Resident memory in bytes, as of its last response. */
  readonly rssBytes: number;
  /** The device that it runs on, such as `cuda:1` or `cpu`; absent for processes that run no model. */
  readonly device?: string;
  /** Seconds that this worker and those that it replaced have spent on requests. */
  readonly busySeconds: number;
  /** How often it was replaced, by how it was lost. */
  readonly restarts: Readonly<Record<WorkerLoss, number>>;
}

/**
 * Why a worker was replaced. `died`: its process ended (a crash, a kill for memory). `hung`: it took too long and was killed.
 * `broken`: its runtime failed at a request and then at the check, and it was killed.
 */
export type WorkerLoss = 'died' | 'hung' | 'broken';

/** Why a worker could not be started. `model_changed`: a file of the model differs from the verified one. `other`: any other reason. */
export type StartFailure = 'model_changed' | 'other';

export interface EngineStatus {
  /**
   * `ready`: all workers are running. `degraded`: some are, and take all runs. `recovering`: none is, one is starting, and runs
   * wait for it. `down`: none is and the last start failed; runs are rejected until a start succeeds.
   */
  readonly state: 'ready' | 'degraded' | 'recovering' | 'down';
  /** Why a worker is missing, for operators. It may name paths of this machine. */
  readonly reason?: string;
  /** The reason as callers may read it. */
  readonly publicReason?: string;
  readonly workers: readonly WorkerStatus[];
  /** Replacements of lost workers since the start, by how those were lost. */
  readonly restarts: Readonly<Record<WorkerLoss, number>>;
  /** Failed starts of replacements since the start, by the reason. */
  readonly startFailures: Readonly<Record<StartFailure, number>>;
  /** Seconds that all workers together have spent on requests since the start. */
  readonly busySeconds: number;
}

/** Makes one worker ready for requests. The given `run` runs on this worker alone and throws as `Engine.run` does. */
export type WarmUp = (run: Engine['run']) => Promise<void>;

/** Runs one model. Implementations: ONNX Runtime in worker processes, and a fake for tests. */
export interface Engine {
  readonly manifest: Manifest;
  /** The execution provider in use. */
  readonly provider: 'cpu' | 'cuda';
  /** Outputs that this model can compute. */
  readonly outputs: ReadonlySet<OutputName>;
  readonly status: EngineStatus;
  /** Workers that are free. */
  readonly idle: number;
  /**
   * Calls the listener at every change of `idle` and of `status.state`.
   * @returns removes the listener
   */
  watch(listener: () => void): () => void;
  /**
   * Warms all workers in parallel, and from then on each replacement before it takes other runs. Call it before the first run.
   * @param check run by a worker that failed as `internal`, before its next run; where it throws, the worker is killed and
   *   replaced. Default: the warm-up.
   * @throws the error of the warm-up. A replacement whose warm-up fails counts as one that failed to start.
   */
  warm(up: WarmUp, check?: WarmUp): Promise<void>;
  /**
   * Computes the wanted outputs of a batch as soon as a worker is free. The batch must not change meanwhile.
   * @throws EngineError with code `unavailable` (closed, no worker, or its worker died or hung), `invalid_input` (shape, or an
   *   output that the model lacks), `out_of_memory` (a smaller batch may fit) or `internal` (the runtime failed).
   */
  run(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs>;
  /**
   * Nearest neighbours between two sets of vectors, in both directions, by a tiled product (`searchNearest`). Occupies a
   * worker as a run does.
   * @throws EngineError as `run` does; MatchError `not_finite`; the signal's reason as soon as it is aborted.
   */
  readonly nearest: NearestSearch;
  /** Finishes all runs, waiting ones included, then ends the workers. Safe to call twice. */
  close(): Promise<void>;
  /** Kills the workers: all runs, waiting ones included, reject as `unavailable`. Call `close` afterwards. */
  terminate(): void;
}

export type EngineErrorCode = 'unavailable' | 'invalid_input' | 'out_of_memory' | 'internal';

interface EngineErrorOptions extends ErrorOptions {
  readonly publicMessage?: string | undefined;
  readonly startFailure?: StartFailure;
}

/**
 * The error of the engine layer. `code` decides the status that a client sees. `message` is for operators and the log: it
 * contains messages of the runtime and the system, with paths of this machine.
 */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;
  /** The message as callers may read it, without paths. Absent: they learn the code alone. */
  readonly publicMessage: string | undefined;
  /** With `unavailable`: why a worker could not be started. */
  readonly startFailure: StartFailure | undefined;

  constructor(code: EngineErrorCode, message: string, options?: EngineErrorOptions) {
    super(message, options);
    this.code = code;
    this.publicMessage = options?.publicMessage;
    this.startFailure = options?.startFailure;
  }
}
