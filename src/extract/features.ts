import type { Tiles, Upsample } from '../client/options.js';
import type { ReceivedTensor } from '../client/tensor.js';
import type { Box, Size } from '../image/types.js';

/** What is computed for every image. */
export interface OutputSpec {
  /** Name of the file, column or data set: `embedding`, `features`, `stage1`, ... */
  readonly name: string;
  /** `vector`: one per image. `map`: [h, w, C] per image. `regions`: one vector per region of the image. */
  readonly kind: 'vector' | 'map' | 'regions';
  readonly channels: number;
  /** Distance of adjacent cells in pixels of the network input; not for `vector`. */
  readonly stride?: number;
}

/** What to compute; the same for all images. */
export interface Wanted {
  readonly embedding?: { readonly space: 'backbone' | 'expander' };
  /** `stages`: 0 is the map of the space. */
  readonly features?: {
    readonly space: 'backbone' | 'localProjector';
    readonly stages: readonly number[];
    readonly upsample?: Upsample;
    readonly tiles?: Tiles;
  };
  readonly dtype: 'float32' | 'float16' | 'int8';
  readonly l2: boolean;
}

/** The name of a map's output. */
export const mapName = (stage: number): string => (stage === 0 ? 'features' : `stage${stage}`);

/** The rectangle of the original that a map [h, w, C] covers: each cell is 1/w of its width and 1/h of its height. */
export interface CoveredPart extends Size {
  readonly left: number;
  readonly top: number;
}

/** The features of one image. */
export interface ImageFeatures {
  /** Size of the original in pixels, after EXIF orientation. */
  readonly width: number;
  readonly height: number;
  /** By the name of the output: [D], [h, w, C], or [regions, C]. */
  readonly values: ReadonlyMap<string, ReceivedTensor>;
  /** The part of the original that the maps cover, in its pixels; only with features. */
  readonly covered?: CoveredPart;
  /** With regions: the share of each one's area that cells cover. */
  readonly coverage?: readonly number[];
}

/** One image: its features, or why it has none. */
export type Outcome = { readonly features: ImageFeatures } | { readonly failed: string };

/** An image of the source to compute. */
export interface WantedImage {
  readonly name: string;
  /** Reads the file. */
  read(): Promise<Uint8Array>;
  /** Regions to pool over, in pixels of the original. */
  readonly boxes?: readonly Box[];
}

/** A batch whose images are read, and decoded where that is done here. Computes them, in their order. */
export type PreparedBatch = () => Promise<readonly Outcome[]>;

/** Computes features, in this process or by a service. */
export interface Extractor {
  readonly model: { readonly name: string; readonly version: string; readonly sha256?: string };
  /** Where the network runs, since other providers and a service's batches give slightly different numbers. */
  readonly runsOn: string;
  readonly outputs: readonly OutputSpec[];
  /** Batches that are computed at the same time. */
  readonly runs: number;
  /** Images of a batch by default. */
  readonly batch: number;
  /**
   * Reads a batch. An image that cannot be read or decoded is a failed outcome.
   * @throws an error that is not that of an image, such as a service that does not answer.
   */
  prepare(images: readonly WantedImage[]): Promise<PreparedBatch>;
  close(): Promise<void>;
}
