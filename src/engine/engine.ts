import type { NearestSearch } from '../match/vectors.js';
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

/** Runs one model. Implementations: ONNX Runtime in a worker thread, and a fake for tests. */
export interface Engine {
  readonly manifest: Manifest;
  /** The execution provider that really runs. */
  readonly provider: 'cpu' | 'cuda';
  /** Outputs this model can compute. */
  readonly outputs: ReadonlySet<OutputName>;
  /**
   * Resolves with the reason (code `unavailable`) when the engine dies by itself; every later run rejects. Never
   * settles while it is well, nor by `close`.
   */
  readonly failed: Promise<EngineError>;
  /**
   * Computes the wanted outputs of a batch.
   * @throws EngineError with code `unavailable` (closed or crashed), `invalid_input` (shape, or an output that the
   *   model lacks) or `internal` (the runtime failed).
   */
  run(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs>;
  /**
   * Nearest neighbours between two sets of vectors, in both directions, by a tiled product (`searchNearest`).
   * @throws EngineError as `run` does; MatchError `not_finite`; the signal's reason soon after it is aborted.
   */
  readonly nearest: NearestSearch;
  /** Finishes what runs, then frees the model. Safe to call twice. */
  close(): Promise<void>;
}

export type EngineErrorCode = 'unavailable' | 'invalid_input' | 'internal';

/** The engine layer's one error; `code` decides the status that a client sees. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
