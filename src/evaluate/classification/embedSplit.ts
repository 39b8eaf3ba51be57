import { watched } from '../../data/imageContents.js';
import type { SkippedImage } from '../../data/sample.js';
import { sourceFingerprint } from '../../data/sourceFingerprint.js';
import type { OutputName } from '../../engine/engine.js';
import { planInput } from '../../image/resize.js';
import { type EmbeddedImages, embedImages } from '../../probe/embedImages.js';
import type { LabelledImages, LabelledSplit } from '../../probe/labelledImages.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { contentDigest, DIGEST_PART } from '../contentDigest.js';
import type { FeatureCache } from '../featureCache.js';
import type { Subject, SubjectShape, SubjectSource } from '../subjects/subject.js';

/** How the images of a split become representations. */
export interface EmbedSplitOptions {
  /** Shortest side of the images in pixels before the central square of `crop` pixels is cut out. */
  readonly resize: number;
  readonly crop: number;
  readonly cache: FeatureCache;
  readonly progress?: WorkProgress;
}

export interface EmbedBothOptions extends EmbedSplitOptions {
  /** Throws for training images that do not suffice. They are checked before the test images are embedded. */
  readonly checkTrain?: (train: EmbeddedImages) => void;
}

/** Options of one set of images. */
export interface EmbedLabelledOptions extends EmbedSplitOptions {
  /** Whether the network sees the crops mirrored left to right. Default false. */
  readonly mirrored?: boolean;
}

/** Representations of both halves of a split. */
export interface EmbeddedSplit {
  readonly train: EmbeddedImages;
  readonly test: EmbeddedImages;
}

/** Images of one run of the network. */
const BATCH = 32;
/** Images of one part of the cache: some seconds of work. */
const PART = DIGEST_PART;
const WANTED: ReadonlySet<OutputName> = new Set(['representation']);

/**
 * Representations of both halves of a split.
 * @throws ImageError for sizes that do not fit the subject, EngineError; what `checkTrain` throws.
 */
export async function embedSplit(
  subject: Subject,
  source: SubjectSource,
  split: LabelledSplit,
  { checkTrain, ...options }: EmbedBothOptions,
): Promise<EmbeddedSplit> {
  checkSizes(subject, options);
  const { progress = silentProgress } = options;
  progress.begin(`${source.name}, embedding`, split.train.indices.length + split.test.indices.length, 'images');
  const train = await embedLabelled(subject, source, split.train, options);
  checkTrain?.(train);
  return { train, test: await embedLabelled(subject, source, split.test, options) };
}

/** @throws ImageError for sizes that do not fit the subject. */
export function checkSizes(
  { stride }: Pick<SubjectShape, 'stride'>,
  { resize, crop }: Pick<EmbedSplitOptions, 'resize' | 'crop'>,
): void {
  planInput({ width: resize, height: resize }, { kind: 'shortestSide', resize, crop }, stride);
}

/** A batch [B, H, W, 3] mirrored left to right. */
function mirroredBatch({ shape, data }: Tensor<'uint8'>): Tensor<'uint8'> {
  const width = shape[2]!;
  const result = new Uint8Array(data.length);
  for (let row = 0; row < data.length; row += width * 3) {
    for (let x = 0; x < width; x++) {
      const from = row + (width - 1 - x) * 3;
      result.set(data.subarray(from, from + 3), row + x * 3);
    }
  }
  return tensor('uint8', shape, result);
}

/**
 * Representations [N, C] of the images that can be decoded, from the cache as far as it has them. Progress is advanced, not
 * begun.
 * @throws EngineError; DataError `changed` for an image that is not the one that was read before.
 */
export async function embedLabelled(
  subject: Subject,
  { digest }: SubjectSource,
  images: LabelledImages,
  { resize, crop, cache, progress = silentProgress, mirrored = false }: EmbedLabelledOptions,
): Promise<EmbeddedImages> {
  const represent = async (batch: Tensor<'uint8'>) =>
    (await subject.run(mirrored ? mirroredBatch(batch) : batch, WANTED)).representation!;
  const fingerprint = sourceFingerprint(images.source);
  const source = watched(images.source);
  const { channels } = subject.outputs.get('representation')!;
  // One array from the start: of a large set, parts that are joined at the end would take the memory twice.
  const all = new Float32Array(images.indices.length * channels);
  const known = new Uint32Array(images.indices.length);
  const skipped: SkippedImage[] = [];
  let rows = 0;
  for (let start = 0; start < images.indices.length; start += PART) {
    const indices = images.indices.slice(start, start + PART);
    const labels = images.labels.slice(start, start + PART);
    let computed = false;
    const kind = mirrored ? 'mirrored representation' : 'representation';
    const contents = cache.keeps ? await contentDigest(source, indices) : '';
    const key = {
      kind,
      digest,
      provider: subject.provider,
      fingerprint,
      contents,
      resize,
      crop,
      indices: [...indices],
    };
    const { tensors, metadata } = await cache.part(key, async () => {
      computed = true;
      const settings = { resize, crop, stride: subject.stride, batchSize: BATCH, runs: subject.runs, progress };
      const { vectors, skipped } = await embedImages({ source, indices, labels }, represent, settings);
      return { tensors: new Map([['vectors', vectors]]), metadata: { skipped: JSON.stringify(skipped) } };
    });
    if (!computed) progress.advance(indices.length);
    const broken = JSON.parse(metadata['skipped'] ?? '[]') as SkippedImage[];
    const missing = new Set(broken.map(({ index }) => index));
    all.set((tensors.get('vectors') as Tensor<'float32'>).data, rows * channels);
    // Labels are not in the cache: they belong to the split.
    const own = labels.filter((_, i) => !missing.has(indices[i]!));
    known.set(own, rows);
    rows += own.length;
    for (const image of broken) skipped.push(image);
  }
  return {
    vectors: tensor('float32', [rows, channels], all.subarray(0, rows * channels)),
    labels: known.subarray(0, rows),
    skipped,
  };
}

/** What a result needs of embedded images. The vectors of a large set fill the memory: those of one subject must not stay until the end. */
export function usedOf({ labels, skipped }: EmbeddedImages): Pick<EmbeddedImages, 'labels' | 'skipped'> {
  return { labels, skipped };
}

/** Names of the test images that were embedded, in the order of their vectors. */
export function embeddedNames(
  { source, indices }: LabelledImages,
  { skipped }: Pick<EmbeddedImages, 'skipped'>,
): string[] {
  const missing = new Set(skipped.map(({ index }) => index));
  return indices.filter((index) => !missing.has(index)).map((index) => source.nameOf(index));
}
