import type { Slot } from './epochs.js';
import type { SampleSettings, SkippedImage } from './sample.js';
import type { SourceIndex } from './sourceIndex.js';

/** What a loader thread is started with. */
export interface WorkerSettings {
  readonly samples: SampleSettings;
  readonly index: SourceIndex;
  readonly cacheBytes: number;
}

/** To a worker: make these samples of a step, or finish. */
export type WorkerRequest =
  | {
      readonly kind: 'samples';
      readonly step: number;
      readonly epoch: number;
      /** Places in the batch, beside the slots that fill them. */
      readonly places: readonly number[];
      readonly slots: readonly Slot[];
    }
  | { readonly kind: 'close' };

/** From a worker. */
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
      readonly code: 'undecodable' | 'worker_failed';
      readonly message: string;
    };
