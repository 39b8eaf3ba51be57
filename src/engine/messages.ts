/** What an engine and its worker processes say to each other; the tensors travel beside it (`frames.ts`). */

import type { MatchErrorCode } from '../match/matchError.js';
import type { EngineErrorCode, OutputName } from './engine.js';

/** Given to a worker at its start. */
export interface WorkerSetup {
  /** Absolute paths. */
  readonly graphs: { readonly backbone: string; readonly localProjector?: string; readonly expander?: string };
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Threads that one operator may use. */
  readonly threads: number;
}

/** One piece of work; its tensors have names. */
export type Work =
  /** Tensor `images`: uint8 [B, H, W, 3]. The answer has the wanted outputs by name. */
  | { readonly kind: 'run'; readonly wants: readonly OutputName[] }
  /** Tensors `a` [n, channels] and `b` [m, channels], float32. The answer is that of `nearestTensors`. */
  | { readonly kind: 'nearest' };

export type WorkerRequest =
  | { readonly kind: 'open'; readonly setup: WorkerSetup }
  | { readonly kind: 'work'; readonly id: number; readonly work: Work }
  /** The answer is no longer wanted: work that has not begun is left, a search ends at its next tile, with an error. */
  | { readonly kind: 'cancel'; readonly id: number };

export type WorkerResponse =
  /** Sessions stand; `cudaFailure` says why CUDA was tried and given up (device auto). */
  | {
      readonly kind: 'ready';
      readonly provider: 'cpu' | 'cuda';
      readonly cudaFailure?: string;
      readonly rssBytes: number;
    }
  /** Sessions could not be created; the worker ends. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'done'; readonly id: number; readonly rssBytes: number }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly rssBytes: number;
      readonly code: EngineErrorCode;
      readonly message: string;
      /** The vectors cannot be matched, and why. */
      readonly match?: MatchErrorCode;
    };
