/** What worker processes and those who start them say to each other; the tensors travel beside it (`frames.ts`). */

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

/** What became of opening the model. */
export interface OpenedModel {
  readonly provider: 'cpu' | 'cuda';
  /** Why CUDA was tried and given up (device auto). */
  readonly cudaFailure?: string;
}

/** What went wrong with a piece of work. */
export interface WorkFailure {
  readonly code: EngineErrorCode;
  /** The vectors cannot be matched, and why. */
  readonly match?: MatchErrorCode;
}

export type ProcessRequest<Setup, W> =
  | { readonly kind: 'open'; readonly setup: Setup }
  | { readonly kind: 'work'; readonly id: number; readonly work: W }
  /** The answer is no longer wanted: work that has not begun is left, a search ends at its next tile, with an error. */
  | { readonly kind: 'cancel'; readonly id: number };

export type ProcessResponse<Opened, Failure> =
  /** It may be given work. */
  | { readonly kind: 'ready'; readonly opened: Opened; readonly rssBytes: number }
  /** It could not be made ready; the process ends. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'done'; readonly id: number; readonly rssBytes: number }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly rssBytes: number;
      readonly message: string;
      readonly failure: Failure;
    };
