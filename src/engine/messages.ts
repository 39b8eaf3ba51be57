/** What worker processes and those who start them say to each other; the tensors travel beside it (`frames.ts`). */

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

/** What became of opening the model. */
export interface OpenedModel {
  readonly provider: 'cpu' | 'cuda';
  /** Why CUDA was tried and given up (device auto). */
  readonly cudaFailure?: string;
}

/** What went wrong with a piece of work, or with opening the model. */
export interface WorkFailure {
  readonly code: EngineErrorCode;
  /** The vectors cannot be matched, and why. */
  readonly match?: MatchErrorCode;
  /** A file of the model is not what was verified. */
  readonly modelChanged?: true;
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
  | { readonly kind: 'failed'; readonly message: string; readonly failure: Failure }
  | { readonly kind: 'done'; readonly id: number; readonly rssBytes: number }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly rssBytes: number;
      readonly message: string;
      readonly failure: Failure;
    };
