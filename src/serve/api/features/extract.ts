import { l2Normalize } from '../../../dense/l2Normalize.js';
import { cutWindow, pickCells } from '../../../dense/part.js';
import { poolRegions, type RegionWeights } from '../../../dense/pool.js';
import { type Reduced, reduceDimensions } from '../../../dense/reduce.js';
import { inTurns } from '../../../match/turns.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { inBoundedTurn } from '../../admission/concurrencyGate.js';
import { type Call, timed } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { admitImage, inferAll } from '../infer.js';
import { bytesOfMap } from '../wire/grid.js';
import { tensorMessage, type WireDType, type WireTensor } from '../wire/wireTensor.js';
import { type FeaturePlan, type PlannedMap, planFeatures, planMaps } from './plan.js';
import { readRegions } from './regions.js';

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

/** Runs one pooling or PCA at a time: the largest take seconds of a core. */
async function inReductionTurn<T>(context: ServeContext, call: Call, work: () => Promise<T>): Promise<T> {
  const { reducing, limits } = context;
  const waiting = {
    name: 'queueReductions',
    value: limits.queueReductions,
    waiting: 'poolings and PCAs wait for their turn',
  };
  return inBoundedTurn(reducing, waiting, call, work);
}

/**
 * Applies the plan to one map: window or cells, pooling, normalisation, PCA, dtype. Large maps are processed in slices of a few
 * milliseconds.
 */
async function extractMap(
  context: ServeContext,
  plan: FeaturePlan,
  planned: PlannedMap,
  map: Tensor<'float32'>,
  weights: readonly RegionWeights[] | undefined,
  call: Call,
): Promise<ExtractedMap> {
  const run = <T>(steps: Generator<void, T>) => inTurns(steps, call.signal);
  let vectors = planned.window ? await run(cutWindow(map, planned.window)) : map;
  if (plan.cells) vectors = await run(pickCells(vectors, plan.cells));
  if (weights) {
    const whole = vectors;
    vectors = await inReductionTurn(context, call, () => run(poolRegions(whole, weights)));
  }
  if (plan.l2Normalize) vectors = await run(l2Normalize(vectors));
  const { pca } = plan;
  const full = vectors;
  const reduced = pca && (await inReductionTurn(context, call, () => reduceDimensions(full, pca, call.signal)));
  const features = await run(tensorMessage(reduced?.vectors ?? full, plan.dtype));
  return { planned, features, ...(reduced && { reduced }), ...coverageOf(weights) };
}

function coverageOf(weights: readonly RegionWeights[] | undefined): { coverage?: readonly number[] } {
  return weights ? { coverage: weights.map(({ coverage }) => coverage) } : {};
}

/**
 * Counts the maps of a request that pools or reduces them, which are held until it is their turn.
 * @returns gives their bytes back
 * @throws ServeError `overloaded` where they do not fit beside those of others; a patient call waits then.
 */
async function holdMaps(
  { mapBudget }: ServeContext,
  plan: FeaturePlan,
  maps: readonly PlannedMap[],
  { patient, signal }: Call,
): Promise<() => void> {
  if (plan.regions === undefined && plan.pca === undefined) return () => {};
  const bytes = maps.reduce((sum, { grid, channels }) => sum + bytesOfMap(grid, channels), 0);
  return patient ? mapBudget.wait(bytes, signal) : mapBudget.take(bytes);
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
  const prepared = await admitImage(context, request.image, 'image', call);
  const maps = planMaps(context, plan, prepared);
  await check(
    maps.reduce((sum, { bytes }) => sum + bytes, 0),
    maps,
    plan.dtype,
  );
  const giveBack = await holdMaps(context, plan, maps, call);
  try {
    const weights = plan.regions
      ? await timed(call, 'encode', () => readRegions(context, plan.regions!, maps, prepared.original, call))
      : undefined;
    const outputs = await inferAll(
      context,
      prepared.image,
      maps.map(({ output }) => output),
      call,
    );
    return await timed(call, 'encode', async () => {
      const extracted: ExtractedMap[] = [];
      for (const [i, planned] of maps.entries()) {
        extracted.push(await extractMap(context, plan, planned, outputs[i]!, weights?.[i], call));
      }
      return extracted;
    });
  } finally {
    giveBack();
  }
}
