/** What an engine and its worker processes say to each other; the tensors travel beside it (`frames.ts`). */

import type { MatchErrorCode } from '../match/matchError.js';
import type { Manifest } from '../models/manifest.js';
import type { EngineErrorCode, OutputName } from './engine.js';

/** The graphs that an engine runs. */
export const engineGraphs = ['backbone', 'localProjector', 'expander'] as const satisfies (keyof Manifest['graphs'])[];

/** Given to a worker at its start: the model as it was verified. Its files may have changed since. */
export interface WorkerSetup {
  /** Absolute path of the model folder. */
  readonly dir: string;
  /** Names of graphs in it. */
  readonly graphs: { readonly backbone: string; readonly localProjector?: string; readonly expander?: string };
  /** Sizes and checksums of its files by name. */
  readonly files: Manifest['files'];
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
  /** Sessions could not be created; the worker ends. `modelChanged`: a file is not what was verified. */
  | { readonly kind: 'failed'; readonly message: string; readonly modelChanged: boolean }
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
