/** Messages between the engine and its worker thread; only structured-clonable values. */

import type { MatchErrorCode } from '../match/matchError.js';
import type { NearestNeighbours, VectorPair } from '../match/vectors.js';
import type { ByOutput, OutputName } from './engine.js';

/** Given to the worker at its start. */
export interface WorkerSetup {
  /** Absolute paths. */
  readonly graphs: { readonly backbone: string; readonly localProjector?: string; readonly expander?: string };
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Threads that one operator may use. */
  readonly threads: number;
}

export interface WireTensor<A extends Uint8Array | Float32Array> {
  readonly shape: readonly number[];
  readonly data: A;
}

export type WorkerRequest =
  | { readonly kind: 'run'; readonly id: number; readonly images: WireTensor<Uint8Array>; readonly wants: OutputName[] }
  | ({ readonly kind: 'nearest'; readonly id: number } & VectorPair)
  /** Nobody waits for this request any more: it is not begun, or a search ends at its next tile. No answer is read. */
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'close' };

export type WorkerResponse =
  /** Sessions stand; `cudaFailure` says why CUDA was tried and given up (device auto). */
  | { readonly kind: 'ready'; readonly provider: 'cpu' | 'cuda'; readonly cudaFailure?: string }
  /** Sessions could not be created; the worker ends. */
  | { readonly kind: 'failed'; readonly message: string }
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly outputs: ByOutput<WireTensor<Float32Array>>;
    }
  | { readonly kind: 'nearest'; readonly id: number; readonly nearest: NearestNeighbours }
  /** `match`: the vectors cannot be matched, and why. */
  | { readonly kind: 'error'; readonly id: number; readonly message: string; readonly match?: MatchErrorCode };
