/** Messages between a worker process and the process that started it. Their tensors are sent after them (`messageCodec.ts`). */

import type { MatchErrorCode } from '../match/matchError.js';
import type { ModelFolder } from '../models/folder.js';
import type { Manifest } from '../models/manifest.js';
import type { EngineErrorCode, OutputName } from './engine.js';

/** The graphs that an engine runs. */
export const engineGraphs = ['backbone', 'localProjector', 'expander'] as const satisfies (keyof Manifest['graphs'])[];

/** Sent to a worker at its start: the model as it was verified. Its files may have changed since. */
export interface WorkerSetup {
  /** Absolute path of the model folder. */
  readonly dir: string;
  /** File names of the graphs in that folder. */
  readonly graphs: { readonly backbone: string; readonly localProjector?: string; readonly expander?: string };
  /** Sizes and checksums of its files by name. */
  readonly files: Manifest['files'];
  readonly compute: Manifest['compute'];
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** Number of the CUDA device. Default: the first. */
  readonly deviceId?: number;
  /** Threads that one operator may use. */
  readonly threads: number;
}

/** What a worker needs to open the model of a verified folder. */
export function workerSetupOf(
  { dir, manifest }: Pick<ModelFolder, 'dir' | 'manifest'>,
  { device, deviceId, threads }: Pick<WorkerSetup, 'device' | 'deviceId' | 'threads'>,
): WorkerSetup {
  const { graphs, files, compute } = manifest;
  return {
    dir,
    graphs: {
      backbone: graphs.backbone,
      ...(graphs.localProjector !== undefined && { localProjector: graphs.localProjector }),
      ...(graphs.expander !== undefined && { expander: graphs.expander }),
    },
    files,
    compute,
    device,
    ...(deviceId !== undefined && { deviceId }),
    threads,
  };
}

/** A task for a worker. Its tensors have names. */
export type Work =
  /** Tensor `images`: uint8 [B, H, W, 3]. The response has the wanted outputs by name. */
  | { readonly kind: 'run'; readonly wants: readonly OutputName[] }
  /** Tensors `a` [n, channels] and `b` [m, channels], float32. The response is that of `nearestTensors`. */
  | { readonly kind: 'nearest' };

/** Where the model was opened. */
export interface OpenedModel {
  readonly provider: 'cpu' | 'cuda';
  /** Why CUDA could not be used (device auto). */
  readonly cudaFailure?: string;
}

/** Why a task, or opening the model, failed. */
export interface WorkFailure {
  readonly code: EngineErrorCode;
  /** Of vectors that cannot be matched: why. */
  readonly match?: MatchErrorCode;
  /** A file of the model differs from the verified one. */
  readonly modelChanged?: true;
}

export type ProcessRequest<Setup, W> =
  | { readonly kind: 'open'; readonly setup: Setup }
  | { readonly kind: 'work'; readonly id: number; readonly work: W }
  /** The result is no longer wanted: a task that has not begun is dropped, a search ends at its next pause, both with an error. */
  | { readonly kind: 'cancel'; readonly id: number };

export type ProcessResponse<Opened, Failure> =
  /** The worker takes tasks from now on. */
  | { readonly kind: 'ready'; readonly opened: Opened; readonly rssBytes: number }
  /** The worker could not be made ready; its process ends. */
  | { readonly kind: 'failed'; readonly message: string; readonly failure: Failure }
  | { readonly kind: 'done'; readonly id: number; readonly rssBytes: number }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly rssBytes: number;
      readonly message: string;
      readonly failure: Failure;
    };

/** The message of anything thrown. */
export const errorMessage = (error: unknown): string => (error instanceof Error ? error.message : String(error));
