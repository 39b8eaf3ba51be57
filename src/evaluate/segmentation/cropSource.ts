import type { RandomStream } from '../../tensor/random.js';

/** Where the crops come from on which a head is trained. */

/** A crop that is wanted. */
export interface WantedCrop {
  /** Of the training image. */
  readonly index: number;
  /** Decides the rest. */
  readonly random: RandomStream;
}

/** A batch of crops. */
export interface CropBatch {
  /** The maps in the head's order, each [B, crop / stride, crop / stride, C]. */
  readonly features: readonly Float32Array[];
  /** The labels of the pixels, [B, crop, crop]; `IGNORED` where there is no class. */
  readonly labels: Uint8Array;
}

export interface CropSource {
  /** Fills a batch. Equal streams give equal crops. @throws DataError, EngineError. */
  fill(wanted: readonly WantedCrop[], target: CropBatch): Promise<void>;
}
