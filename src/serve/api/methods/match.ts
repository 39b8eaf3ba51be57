import pLimit from 'p-limit';
import type { MatchManyRequest__Output } from '../../../proto/generated/vicregl/v1/MatchManyRequest.js';
import type { MatchManyResponse } from '../../../proto/generated/vicregl/v1/MatchManyResponse.js';
import type { MatchRequest__Output } from '../../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse } from '../../../proto/generated/vicregl/v1/MatchResponse.js';
import type { MatchSide__Output } from '../../../proto/generated/vicregl/v1/MatchSide.js';
import type { Call } from '../../call/call.js';
import { runLimits } from '../../config/runLimits.js';
import type { ServeContext } from '../context.js';
import { answerEach } from '../items.js';
import { matchByFeatures, matchFeatureSources, outputOf } from '../matching/byFeatures.js';
import { matchByLocation, matchCrops, readCropGrid } from '../matching/byLocation.js';
import { checkHomography } from '../matching/homography.js';
import { acquireRead, readSource } from '../matching/source.js';
import { checkCount } from '../wire/fields.js';

/** Match: pairs of cells of two images, by features or by location. */
export async function match(context: ServeContext, request: MatchRequest__Output, call: Call): Promise<MatchResponse> {
  checkHomography(request.homography);
  if (request.byLocation) return matchByLocation(context, request, request.byLocation, call);
  return matchByFeatures(context, request, request.byFeatures ?? undefined, call);
}

type MatchWith = (context: ServeContext, target: MatchSide__Output, field: string) => Promise<MatchResponse>;

/** Computes the query once, and calls `work` with a function that matches it with one target. */
async function withQuery<T>(
  context: ServeContext,
  request: MatchManyRequest__Output,
  call: Call,
  work: (matchWith: MatchWith) => Promise<T>,
): Promise<T> {
  const { query, byLocation, homography } = request;
  if (byLocation) {
    const crop = await readCropGrid(context, query, 'query', call);
    return work(async (own, target, field) =>
      matchCrops(own, crop, await readCropGrid(own, target, field, call), byLocation, homography, call),
    );
  }
  const byFeatures = request.byFeatures ?? undefined;
  const output = outputOf(context, byFeatures);
  const source = await readSource(context, query, 'query', output, call);
  const permit = acquireRead(context, source);
  try {
    const map = await source.vectors(call);
    // The bytes read of it are counted once, whatever the number of targets.
    const computed = { ...source, readBytes: 0, vectors: async () => map };
    return await work(async (own, target, field) => {
      const other = await readSource(own, target, field, output, call);
      return matchFeatureSources(own, computed, other, byFeatures, homography, call);
    });
  } finally {
    permit.release();
  }
}

/** MatchMany: one query with each target; a failed target has a status in its place. */
export async function matchMany(
  context: ServeContext,
  request: MatchManyRequest__Output,
  call: Call,
): Promise<MatchManyResponse> {
  const { targets, homography } = request;
  const { limits } = context;
  checkCount('targets', targets, limits, 'matchTargets', {
    none: `send 1 to ${limits.matchTargets}`,
    tooMany: 'send more in further calls, the query by its feature_ref',
  });
  checkHomography(homography);
  return withQuery(context, request, call, async (matchWith) => {
    // At most as many as one run can contain: more would only keep their pixels and maps in memory.
    const limitRuns = pLimit(runLimits(limits, context.engine).batchImages);
    const results = await answerEach(targets, call, (target, i) =>
      limitRuns(() => context.queue.scope((queue) => matchWith({ ...context, queue }, target, `targets[${i}]`))),
    );
    return { results };
  });
}
