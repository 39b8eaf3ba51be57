import type { Slot } from './epochs.js';
import type { SampleSettings, SkippedImage } from './sample.js';
import type { SourceIndex } from './sourceIndex.js';

/** Settings of a loader thread. */
export interface WorkerSettings {
  readonly samples: SampleSettings;
  readonly index: SourceIndex;
  readonly cacheBytes: number;
}

/** Message to a worker: make samples of a step, or end. */
export type WorkerRequest =
  | {
      readonly kind: 'samples';
      readonly step: number;
      readonly epoch: number;
      /** Indices in the batch, in the order of `slots`. */
      readonly places: readonly number[];
      readonly slots: readonly Slot[];
    }
  | { readonly kind: 'close' };

/** Message from a worker. */
export type WorkerReply =
  | {
      readonly kind: 'samples';
      readonly step: number;
      readonly places: readonly number[];
      readonly indices: readonly number[];
      /** Per view [places, size, size, 3]. */
      readonly views: readonly Uint8Array<ArrayBuffer>[];
      /** Per view [places, cells * cells, 2]. */
      readonly locations: readonly Float32Array<ArrayBuffer>[];
      readonly skipped: readonly SkippedImage[];
    }
  | {
      readonly kind: 'failure';
      readonly step: number;
      readonly code: 'undecodable' | 'changed' | 'worker_failed';
      readonly message: string;
    };
