import { availableParallelism } from 'node:os';
import { noAugmentation } from '../../../data/augment.js';
import { digestsOf } from '../../../data/imageContents.js';
import { createLoader } from '../../../data/loader.js';
import type { SkippedImage } from '../../../data/sample.js';
import type { OutputName } from '../../../engine/engine.js';
import type { EmbeddedImages } from '../../../probe/embedImages.js';
import type { LabelledImages } from '../../../probe/labelledImages.js';
import { pipelined } from '../../../probe/pipelined.js';
import { silentProgress, type WorkProgress } from '../../../progress/work.js';
import { stream } from '../../../tensor/random.js';
import type { Subject } from '../../subjects/subject.js';

/** Features of some of an epoch's images. */
export interface FeatureRows {
  readonly count: number;
  /** Features [C] of an image. */
  rowOf(i: number): Float32Array;
  /** Class of each. */
  readonly labels: Uint32Array;
  /** Place of each among the training images. */
  readonly places: Uint32Array;
}

/** Features of the training images, epoch by epoch. */
export interface EpochFeatures {
  readonly channels: number;
  /** Images of an epoch. */
  readonly images: number;
  /** All images of an epoch, in one window or, where they take too much memory, in several. */
  epoch(epoch: number): AsyncIterable<FeatureRows>;
  /** Images that could not be decoded so far; in random crops they are replaced by others. */
  skipped(): readonly SkippedImage[];
  close(): Promise<void>;
}

export interface RandomCropOptions {
  /** Side of the crops in pixels. */
  readonly crop: number;
  /** Decides the crops and the windows. */
  readonly seed: number;
  /** Images of a step of a head; a window has whole steps, but for an epoch's last. */
  readonly batchSize: number;
  /** Memory of a window. Default 256 MiB. */
  readonly windowBytes?: number;
  /** Images that are known to be broken from before an interruption. */
  readonly skipped?: readonly SkippedImage[];
  readonly progress?: WorkProgress;
}

/** Images of one run of the network. */
const BATCH = 32;
const WINDOW_BYTES = 256 * 2 ** 20;
/** Loader threads: beyond so many, the network is slower than they are. */
const MAX_LOADERS = 8;
const WANTED: ReadonlySet<OutputName> = new Set(['representation']);

/**
 * Features of random resized crops with random flips, other ones in each epoch, as in the authors' evaluation. Those of an
 * epoch depend on the seed and the epoch alone.
 */
export function randomCropFeatures(
  subject: Subject,
  images: LabelledImages,
  { crop, seed, batchSize, windowBytes = WINDOW_BYTES, skipped = [], progress = silentProgress }: RandomCropOptions,
): EpochFeatures {
  const { channels } = subject.outputs.get('representation')!;
  const placeOf = new Map(images.indices.map((index, place) => [index, place]));
  const broken = new Map(skipped.map((image) => [image.index, image]));
  const loader = createLoader({
    source: images.source,
    items: Uint32Array.from(images.indices),
    batchSize: BATCH,
    keepLast: true,
    digests: digestsOf(images.source),
    seed,
    workers: Math.max(1, Math.min(MAX_LOADERS, Math.floor(availableParallelism() / 2))),
    views: [
      {
        size: crop,
        cells: 1,
        scale: [0.08, 1],
        aspect: [3 / 4, 4 / 3],
        augmentation: { ...noAugmentation, flipProbability: 0.5 },
      },
    ],
  });
  const perEpoch = images.indices.length;
  const windowRows = batchSize * Math.max(1, Math.floor(windowBytes / (batchSize * channels * 4)));
  return {
    channels,
    images: perEpoch,
    skipped: () => [...broken.values()].sort((a, b) => a.index - b.index),
    close: () => loader.close(),
    async *epoch(epoch) {
      const batches = pipelined(
        loader.stepsPerEpoch,
        (batch) => loader.batch(epoch * loader.stepsPerEpoch + batch),
        async ({ views, indices, skipped: found }) => ({
          vectors: (await subject.run(views[0]!, WANTED)).representation!.data,
          indices,
          found,
        }),
        { runs: subject.runs },
      );
      let remaining = perEpoch;
      let window = emptyWindow(Math.min(windowRows, remaining), channels);
      for await (const { vectors, indices, found } of batches) {
        for (const image of found) broken.set(image.index, image);
        for (const [i, index] of indices.entries()) {
          window.add(vectors.subarray(i * channels, (i + 1) * channels), placeOf.get(index)!, images.labels);
          remaining--;
          if (!window.full()) continue;
          yield window.rows;
          window = emptyWindow(Math.min(windowRows, remaining), channels);
        }
        progress.advance(indices.length);
      }
    },
  };
}

function emptyWindow(count: number, channels: number) {
  const data = new Float32Array(count * channels);
  const labels = new Uint32Array(count);
  const places = new Uint32Array(count);
  let filled = 0;
  const rows: FeatureRows = {
    count,
    rowOf: (i) => data.subarray(i * channels, (i + 1) * channels),
    labels,
    places,
  };
  return {
    rows,
    full: () => filled === count,
    add(row: Float32Array, place: number, labelOf: Uint32Array): void {
      data.set(row, filled * channels);
      labels[filled] = labelOf[place]!;
      places[filled] = place;
      filled++;
    },
  };
}

/**
 * Features of central crops that are computed once: in each epoch an image has those of its crop or of the mirrored crop, at
 * random.
 * @param plain,mirrored of the same images.
 * @param indices of the training images, those that cannot be decoded among them.
 */
export function storedFeatures(
  plain: EmbeddedImages,
  mirrored: EmbeddedImages,
  indices: readonly number[],
  { seed, progress = silentProgress }: { readonly seed: number; readonly progress?: WorkProgress },
): EpochFeatures {
  const [count, channels] = plain.vectors.shape as readonly [number, number];
  const missing = new Set(plain.skipped.map(({ index }) => index));
  const places = Uint32Array.from(indices.flatMap((index, place) => (missing.has(index) ? [] : [place])));
  const rowIn = ({ vectors }: EmbeddedImages, i: number) =>
    vectors.data.subarray(i * channels, (i + 1) * channels) as Float32Array;
  return {
    channels,
    images: count,
    skipped: () => plain.skipped,
    close: async () => undefined,
    async *epoch(epoch) {
      const random = stream(seed, 'linear flip', epoch);
      const flips = Array.from({ length: count }, () => random.bernoulli(0.5));
      yield { count, labels: plain.labels, places, rowOf: (i) => rowIn(flips[i] ? mirrored : plain, i) };
      progress.advance(count);
    },
  };
}
