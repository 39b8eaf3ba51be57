import { createHash } from 'node:crypto';
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../data/dataError.js';
import { encodeSegmentationHead } from '../../heads/segmentationGraph.js';
import type { HeadMap } from '../../heads/segmentationHead.js';
import type { SessionConfig } from '../../onnx/session.js';
import type { WorkProgress } from '../../progress/work.js';
import { featureCache } from '../featureCache.js';
import type { SubjectMeasures } from '../result/buildResult.js';
import type { Subject, SubjectSource } from '../subjects/subject.js';
import { frozenCrops } from './frozenCrops.js';
import { type FrozenMaps, freezeMaps, frozenMapsBytes } from './frozenMaps.js';
import { segmentationMeasures } from './iou.js';
import { headMaps, type SegmentationProtocol } from './protocol.js';
import { scaledCrops } from './scaledCrops.js';
import type { SegmentationData } from './segmentationData.js';
import { createSegmenter } from './segmenter.js';
import { type TestHeadOptions, testHead } from './testHead.js';
import { trainHead } from './trainHead.js';
import type { WindowOptions } from './windows.js';

/** Linear frozen segmentation of one subject: maps, head, test. */

export interface SegmentationSettings {
  readonly steps: number;
  readonly batch: number;
  /** Side of the crops in pixels. */
  readonly crop: number;
  readonly learningRate: number;
  readonly window: WindowOptions;
  readonly flip: boolean;
  /** Factors by which photographs are rescaled at random; the network then runs on every crop. Absent: crops of frozen maps. */
  readonly scale?: readonly [number, number];
}

export interface MeasureSegmentationOptions extends SegmentationSettings {
  readonly protocol: SegmentationProtocol;
  readonly seed: number;
  readonly session: SessionConfig;
  /** Folder of `--cache`; undefined for none. */
  readonly cacheDir: string | undefined;
  /** Temporary folder for maps that do not fit into memory, where there is no cache. */
  readonly scratch: string;
  readonly onPrediction?: TestHeadOptions['onPrediction'];
  readonly progress: WorkProgress;
}

export interface MeasuredSegmentation extends SubjectMeasures {
  readonly maps: readonly HeadMap[];
  /** The trained head, for inference. */
  readonly head: Uint8Array;
}

/** Maps are held in memory up to this share of what is available. */
const MEMORY_SHARE = 0.25;

/** Logits of photographs that are segmented at once, in bytes: those of a window of 512 x 512 pixels and 150 classes take 157 MB. */
const LOGIT_BYTES = 512 * 1024 * 1024;

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(1);

/** @throws DataError `bad_option` if the maps of the training images do not fit on the disk. */
async function requireSpace(dir: string, bytes: number, flag: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const { bavail, bsize } = await statfs(dir);
  if (bytes <= bavail * bsize) return;
  throw new DataError(
    'bad_option',
    `the maps of the training images take ${gigabytes(bytes)} GB, and ${dir} has ${gigabytes(bavail * bsize)} GB left; ${flag}, use fewer images (--train-images), or --no-flip, which halves them`,
  );
}

/** Computes the maps of the training images. */
async function frozenMapsOf(
  subject: Subject,
  { name, digest }: Pick<SubjectSource, 'name' | 'digest'>,
  maps: readonly HeadMap[],
  { train }: SegmentationData,
  { window, crop, flip, cacheDir, scratch, progress }: MeasureSegmentationOptions,
): Promise<FrozenMaps> {
  const memoryBytes = process.availableMemory() * MEMORY_SHARE;
  const bytes = frozenMapsBytes(train, { maps, window, crop, flip }, subject.stride);
  const mapsDir = cacheDir ?? (bytes <= memoryBytes ? undefined : join(scratch, 'maps', digest));
  if (mapsDir !== undefined)
    await requireSpace(
      mapsDir,
      bytes,
      cacheDir === undefined ? 'give a folder of another disk with --cache' : 'give another folder',
    );
  progress.begin(`${name}, maps`, train.length, 'images');
  const cache = featureCache(mapsDir, cacheDir === undefined ? 'the temporary folder' : '--cache');
  return freezeMaps(subject, train, { maps, window, crop, flip, digest, cache, memoryBytes, progress });
}

/** @throws DataError, EngineError, DivergedError. */
export async function measureSegmentation(
  subject: Subject,
  { name, digest }: SubjectSource,
  data: SegmentationData,
  options: MeasureSegmentationOptions,
): Promise<MeasuredSegmentation> {
  const { protocol, steps, batch, crop, learningRate, window, flip, scale, seed, session, cacheDir, progress } =
    options;
  const { onPrediction } = options;
  const maps = headMaps(protocol, subject);
  const classes = data.classes.length;
  const spec = { maps, classes, dropout: protocol.dropout };
  const crops = scale
    ? scaledCrops(subject, data.train, data.labels, { maps, crop, scale, flip })
    : frozenCrops(data.train, await frozenMapsOf(subject, { name, digest }, maps, data, options), data.labels, {
        maps,
        crop,
      });

  progress.begin(`${name}, training`, steps, 'steps');
  const by = { digest, provider: subject.provider };
  const training = {
    ...by,
    // Which numbers of the masks are which classes.
    layout: data.layout,
    images: data.train.map(({ imageDigest, maskDigest }) => [imageDigest, maskDigest]),
    classes: data.classes.map((each) => each.name),
    maps,
    protocol: [protocol.text, protocol.optimizerName],
    settings: { steps, batch, crop, learningRate, window, flip, ...(scale && { scale }) },
    seed,
  };
  const kept = featureCache(cacheDir);
  const saved = kept.progressOf({ kind: 'segmentation-head', ...training });
  const weights = await trainHead(data.train.length, crops, {
    protocol,
    spec,
    steps,
    batch,
    crop,
    learningRate,
    seed,
    session,
    saved,
    progress,
  });
  const head = encodeSegmentationHead(spec, weights);

  progress.begin(`${name}, testing`, data.test.length, 'images');
  const segmenter = await createSegmenter(subject, head, { maps, classes, window, session });
  try {
    const counts = await testHead(segmenter, data.test, data.labels, {
      classes,
      runs: Math.max(1, Math.min(subject.runs, Math.floor(LOGIT_BYTES / (window.side ** 2 * classes * 4)))),
      cache: kept,
      key: { ...by, head: sha256(head), window, layout: data.layout },
      progress,
      ...(onPrediction && { onPrediction }),
    });
    return { ...segmentationMeasures(counts, data.classes), maps, head };
  } finally {
    await segmenter.close();
  }
}
