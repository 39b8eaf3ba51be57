import { createHash } from 'node:crypto';
import { encodeSegmentationHead } from '../../heads/segmentationGraph.js';
import type { HeadMap } from '../../heads/segmentationHead.js';
import type { SessionConfig } from '../../onnx/session.js';
import type { WorkProgress } from '../../progress/work.js';
import { featureCache } from '../featureCache.js';
import type { SubjectMeasures } from '../result/buildResult.js';
import type { Subject, SubjectSource } from '../subjects/subject.js';
import type { CropSource } from './cropSource.js';
import { frozenCrops } from './frozenCrops.js';
import { freezeMaps } from './frozenMaps.js';
import { segmentationMeasures } from './iou.js';
import { type MapsSubject, mapsPlace, requireMapsSpace } from './mapsSpace.js';
import { type HeadSchedule, headMaps, type SegmentationProtocol, scheduleKeys } from './protocol.js';
import { scaledCrops } from './scaledCrops.js';
import { requireSeenSizes, seenSize } from './seenSize.js';
import type { SegmentationData } from './segmentationData.js';
import { createSegmenter, photographsAtOnce } from './segmenter.js';
import { type TestHeadOptions, testHead } from './testHead.js';
import { trainHead } from './trainHead.js';
import type { WindowOptions } from './windows.js';

/** Linear frozen segmentation of one subject: maps, head, test. */

export interface SegmentationSettings extends HeadSchedule {
  readonly batch: number;
  /** Side of the crops in pixels. */
  readonly crop: number;
  readonly window: WindowOptions;
  /** The shorter side at which the network sees photographs, in pixels. Absent: their own. */
  readonly shortest?: number | undefined;
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
  /** Maps that are held in memory, in bytes. Default: a quarter of what is available. */
  readonly memoryBytes?: number;
  /** Subjects that are measured after this one: there must be space for their maps too. Default: none. */
  readonly later?: readonly SubjectSource[];
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

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
/** A subject as one whose maps are kept. */
function mapsSubject(
  { digest, stride, outputs, ...source }: SubjectSource,
  protocol: SegmentationProtocol,
  { provider }: Pick<Subject, 'provider'>,
): MapsSubject {
  // One that is not open yet will have the provider of the others.
  return { digest, provider: source.provider ?? provider, stride, maps: headMaps(protocol, { outputs }) };
}

/** @throws DataError, EngineError, DivergedError. */
export async function measureSegmentation(
  subject: Subject,
  source: SubjectSource,
  data: SegmentationData,
  options: MeasureSegmentationOptions,
): Promise<MeasuredSegmentation> {
  const { protocol, batch, crop, window, shortest, flip, scale, seed, session, cacheDir, progress } = options;
  const { steps, learningRate, decayPower, warmupSteps, endLearningRate } = options;
  const schedule = { steps, learningRate, decayPower, warmupSteps, endLearningRate };
  const { onPrediction, memoryBytes = process.availableMemory() * MEMORY_SHARE, later = [] } = options;
  const { name, digest } = source;
  requireSeenSizes([...data.train, ...data.test], shortest);
  const maps = headMaps(protocol, subject);
  const classes = data.classes.length;
  const spec = { maps, classes, dropout: protocol.dropout };
  const by = { digest, provider: subject.provider };
  const training = {
    ...by,
    // Which numbers of the masks are which classes.
    layout: data.layout,
    images: data.train.map(({ imageDigest, maskDigest }) => [imageDigest, maskDigest]),
    classes: data.classes.map((each) => each.name),
    maps,
    protocol: [protocol.text, protocol.optimizerName],
    settings: {
      ...{ ...scheduleKeys(schedule), batch, crop, window, flip },
      ...(shortest !== undefined && { shortest }),
      ...(scale && { scale }),
    },
    seed,
  };
  const kept = featureCache(cacheDir);
  const saved = kept.progressOf({ kind: 'segmentation-head', ...training });
  const settings = { protocol, spec, schedule, batch, crop, seed, session, saved, progress };
  const trainOn = (crops: CropSource) => {
    progress.begin(`${name}, training`, steps, 'steps');
    return trainHead(data.train.length, crops, settings);
  };
  const onMaps = async () => {
    const space = { ...options, memoryBytes };
    const subjects = [source, ...later].map((each) => mapsSubject(each, protocol, subject));
    await requireMapsSpace(subjects, data.train, space);
    const place = mapsPlace(subjects[0]!, data.train, space);
    try {
      progress.begin(`${name}, maps`, data.train.length, 'images');
      const freezing = { maps, window, shortest, crop, flip, digest, cache: place.cache, memoryBytes, progress };
      const frozen = await freezeMaps(subject, data.train, freezing);
      return await trainOn(frozenCrops(data.train, frozen, data.labels, { maps, crop, shortest }));
    } finally {
      await place.clear();
    }
  };
  const weights = await (scale
    ? trainOn(scaledCrops(subject, data.train, data.labels, { maps, crop, shortest, scale, flip }))
    : onMaps());
  const head = encodeSegmentationHead(spec, weights);

  progress.begin(`${name}, testing`, data.test.length, 'images');
  const sizes = data.test.map(({ size }) => seenSize(size, shortest));
  const segmenter = await createSegmenter(subject, head, { maps, classes, window, shortest, session });
  try {
    const counts = await testHead(segmenter, data.test, data.labels, {
      classes,
      runs: Math.min(subject.runs, photographsAtOnce(sizes, { classes, window }, subject.stride)),
      cache: kept,
      key: { ...by, head: sha256(head), window, ...(shortest !== undefined && { shortest }), layout: data.layout },
      progress,
      ...(onPrediction && { onPrediction }),
    });
    return { ...segmentationMeasures(counts, data.classes), maps, head };
  } finally {
    await segmenter.close();
  }
}
