import { pipelined } from '../../probe/pipelined.js';
import type { WorkProgress } from '../../progress/work.js';
import { tensor } from '../../tensor/tensor.js';
import type { CachedPart, ComputedBy, FeatureCache } from '../featureCache.js';
import { type ClassCounts, countClasses } from './iou.js';
import { type CheckedPair, readPhotograph, type SegmentationData } from './segmentationData.js';
import type { Segmenter } from './segmenter.js';

export interface TestHeadOptions {
  readonly classes: number;
  /** Photographs that are segmented at once: enough to keep the network busy. */
  readonly runs: number;
  readonly cache: FeatureCache;
  /** All that the predictions depend on beside the images. */
  readonly key: ComputedBy & Readonly<Record<string, unknown>>;
  /** Receives every prediction; all are then computed, whatever the cache has. */
  readonly onPrediction?: (
    pair: CheckedPair,
    photograph: Awaited<ReturnType<typeof readPhotograph>>,
    predicted: Uint8Array,
  ) => Promise<void>;
  readonly progress: WorkProgress;
}

/** Images of one part of the cache: some seconds of work. */
const PART = 32;

/**
 * Segments the test images and counts their pixels by class, in the order of the images.
 * @throws DataError, EngineError.
 */
export async function testHead(
  segmenter: Segmenter,
  pairs: readonly CheckedPair[],
  labels: SegmentationData['labels'],
  { classes, runs, cache, key, onPrediction, progress }: TestHeadOptions,
): Promise<ClassCounts[]> {
  const names = ['truth', 'predicted', 'both'] as const;
  const counts: ClassCounts[] = [];
  for (let first = 0; first < pairs.length; first += PART) {
    const chunk = pairs.slice(first, first + PART);
    let computed = 0;
    const compute = async (): Promise<CachedPart> => {
      const found: ClassCounts[] = [];
      const work = pipelined(
        chunk.length,
        (i) => readPhotograph(chunk[i]!),
        async (photograph, i) => {
          const predicted = await segmenter.segment(photograph);
          await onPrediction?.(chunk[i]!, photograph, predicted);
          return countClasses(await labels(chunk[i]!), predicted, classes);
        },
        { runs },
      );
      for await (const one of work) {
        found.push(one);
        computed += 1;
        progress.advance();
      }
      const shape = [chunk.length, classes];
      return {
        // Counts are less than 2^31: images have fewer pixels.
        tensors: new Map(
          names.map((name) => [name, tensor('int32', shape, Int32Array.from(found.flatMap((one) => [...one[name]])))]),
        ),
        metadata: {},
      };
    };
    const images = chunk.map(({ imageDigest, maskDigest }) => [imageDigest, maskDigest]);
    const { tensors } = onPrediction
      ? await compute()
      : await cache.part({ kind: 'segmentation-counts', ...key, images }, compute);
    if (computed === 0) progress.advance(chunk.length);
    for (let i = 0; i < chunk.length; i++) {
      const row = (name: string) =>
        Uint32Array.from((tensors.get(name)!.data as Int32Array).subarray(i * classes, (i + 1) * classes));
      counts.push({ truth: row('truth'), predicted: row('predicted'), both: row('both') });
    }
  }
  return counts;
}
