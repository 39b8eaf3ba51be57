import { l2Normalize } from '../../../featureOps/l2Normalize.js';
import { poolRegions, type RegionWeights } from '../../../featureOps/pool.js';
import { type Reduced, type Reduction, reduceDimensions } from '../../../featureOps/reduce.js';
import { cutWindow, pickCells } from '../../../featureOps/selectCells.js';
import { upsample, upsampleCells } from '../../../featureOps/upsample.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import { runInSlices } from '../../../tensor/slices.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { Permit } from '../../admission/weightedSemaphore.js';
import { type Call, timed } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { admitImage, inferAll } from '../infer.js';
import { tensorMessage, type WireDType, type WireTensor } from '../wire/wireTensor.js';
import { type FeaturePlan, type PlannedMap, planFeatures, planMaps } from './plan.js';
import { readRegions, regionBytes } from './regions.js';
import { admitTiles, type ComputableImage } from './tiles.js';

/** The vectors of one map, encoded for the response. */
export interface ExtractedMap {
  readonly planned: PlannedMap;
  readonly features: WireTensor;
  /** With pooling: [regions]. */
  readonly coverage?: readonly number[];
  /** With pca. */
  readonly reduced?: Reduced;
}

/** Called with the size of the response in bytes before any vector is computed. @throws ServeError `too_large` */
export type SizeCheck = (bytes: number, maps: readonly PlannedMap[], dtype: WireDType) => void | Promise<void>;

/** Enlarges a map, and takes its window or its cells. Of the enlarged map only those are computed. */
function* takePart(
  map: Tensor<'float32'>,
  { cells }: FeaturePlan,
  { upsampled, window }: PlannedMap,
): Generator<void, Tensor<'float32'>> {
  if (cells) return yield* upsampled ? upsampleCells(map, upsampled, cells) : pickCells(map, cells);
  if (upsampled) return yield* upsample(map, upsampled, window);
  return window ? yield* cutWindow(map, window) : map;
}

/**
 * Applies the plan to one map: enlargement, window or cells, pooling, normalisation, PCA, dtype. Large maps are processed in slices of a few
 * milliseconds.
 */
export async function extractMap(
  { admission }: ServeContext,
  plan: FeaturePlan,
  planned: PlannedMap,
  map: Tensor<'float32'>,
  weights: readonly RegionWeights[] | undefined,
  call: Call,
): Promise<ExtractedMap> {
  const run = <T>(steps: Generator<void, T>) => timed(call, 'encode', () => runInSlices(steps, call.signal));
  let vectors = await run(takePart(map, plan, planned));
  if (weights) {
    const whole = vectors;
    vectors = await admission.reducing.run(call, () => run(poolRegions(whole, weights)));
  }
  if (plan.l2Normalize) vectors = await run(l2Normalize(vectors));
  const { pca } = plan;
  const full = vectors;
  const reduce = (by: Reduction) =>
    admission.reducing.run(call, () => timed(call, 'encode', () => reduceDimensions(full, by, call.signal)));
  const reduced = pca && (await reduce(pca));
  const features = await run(tensorMessage(reduced?.vectors ?? full, plan.dtype));
  return { planned, features, ...(reduced && { reduced }), ...coverageOf(weights) };
}

function coverageOf(weights: readonly RegionWeights[] | undefined): { coverage?: readonly number[] } {
  return weights ? { coverage: weights.map(({ coverage }) => coverage) } : {};
}

/**
 * Acquires the bytes of the maps of a request that pools or reduces them, since they are in memory while it waits for a slot, or that
 * enlarges them or merges them from tiles; for regions, also those of their weights.
 * @returns undefined if the request does none of these
 * @throws ServeError `overloaded` if they exceed `mapBytes` together with those of others; calls that wait for capacity wait.
 */
async function acquireMaps(
  context: ServeContext,
  plan: FeaturePlan,
  maps: readonly PlannedMap[],
  call: Call,
): Promise<Permit | undefined> {
  const { regions, pca, upsampling, tiling } = plan;
  if (!regions && !pca && !upsampling && !tiling) return undefined;
  const { mapBytes } = context.admission;
  const bytes = maps.reduce((sum, map) => sum + map.mapBytes, 0) + (regions ? regionBytes(context, regions, maps) : 0);
  if (!call.waitsForCapacity) return mapBytes.tryAcquire(bytes);
  return timed(call, 'wait', () => mapBytes.acquire(bytes, call.signal));
}

/** The image of a request, with a place in the queue, and how to compute its maps: in one run, or in one for each of its tiles. */
async function openInput(
  context: ServeContext,
  { tiling }: FeaturePlan,
  image: ExtractFeaturesRequest__Output['image'],
  call: Call,
): Promise<ComputableImage> {
  if (tiling) return admitTiles(context, tiling, image, call);
  const prepared = await admitImage(context, image, 'image', call);
  // It may wait for the requests before it in a batch, for the bytes of its maps, or for masks to be read.
  context.queue.hold(prepared.image.data.byteLength);
  const outputsOf = (maps: readonly PlannedMap[]) => maps.map(({ output }) => output);
  return { prepared, infer: (maps) => inferAll(context, prepared.image, outputsOf(maps), call) };
}

/**
 * The local vectors that a request asks for, of every map that it names.
 * @param check called with the size of the response before the network runs
 */
export async function extract(
  context: ServeContext,
  request: ExtractFeaturesRequest__Output,
  call: Call,
  check: SizeCheck,
): Promise<readonly ExtractedMap[]> {
  const plan = planFeatures(context, request);
  const { prepared, infer } = await openInput(context, plan, request.image, call);
  const maps = planMaps(context, plan, prepared);
  await check(
    maps.reduce((sum, { bytes }) => sum + bytes, 0),
    maps,
    plan.dtype,
  );
  const permit = await acquireMaps(context, plan, maps, call);
  try {
    const weights = plan.regions && (await readRegions(context, plan.regions, maps, prepared.original, call));
    const outputs = await infer(maps);
    const extracted: ExtractedMap[] = [];
    for (const [i, planned] of maps.entries()) {
      extracted.push(await extractMap(context, plan, planned, outputs[i]!, weights?.[i], call));
    }
    return extracted;
  } finally {
    permit?.release();
  }
}
