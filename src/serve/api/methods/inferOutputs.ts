import type { OutputName } from '../../../engine/engine.js';
import type { EmbedRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedRequest.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import { type Call, timed } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { extractMap } from '../features/extract.js';
import { type FeaturePlan, type PlannedMap, planFeatures, planMaps } from '../features/plan.js';
import { admitImage, inferAll } from '../infer.js';
import { globalOutput } from '../wire/model.js';
import { readDType, type WireDType, type WireTensor } from '../wire/wireTensor.js';
import { embeddingMessage } from './embed.js';

/** What a request wants of each of its images: a global vector, a map, or both. */
export interface WantedOutputs {
  readonly embedding?: Pick<EmbedRequest__Output, 'space' | 'dtype' | 'l2Normalize'>;
  /** `stages` has at most one stage. */
  readonly map?: Pick<ExtractFeaturesRequest__Output, 'space' | 'stages' | 'dtype' | 'l2Normalize'>;
}

/** The same as outputs of a model. */
export interface OutputPlan {
  readonly embedding?: { readonly output: OutputName; readonly dtype: WireDType; readonly l2Normalize: boolean };
  readonly map?: FeaturePlan;
}

/** The options of ExtractFeatures that select or reduce vectors: none. */
const wholeMap = { model: '', image: null, pooling: null, pca: null, upsample: null, tiles: null } as const;

/** @throws ServeError `missing_head` for a space or a stage that the model does not have. */
export function planOutputs(context: ServeContext, { embedding, map }: WantedOutputs): OutputPlan {
  return {
    ...(embedding && {
      embedding: {
        output: globalOutput(context.engine, embedding.space),
        dtype: readDType(embedding.dtype),
        l2Normalize: embedding.l2Normalize,
      },
    }),
    ...(map && { map: planFeatures(context, { ...wholeMap, ...map }) }),
  };
}

/**
 * Embed and ExtractFeatures for one image: it is decoded once, and one run computes the outputs of both.
 * @param field name of the image in the request, for errors
 * @param check called with the map before the network runs, or with undefined if no map is wanted
 * @throws as Embed and ExtractFeatures, and whatever `check` throws.
 */
export async function inferOutputs(
  context: ServeContext,
  { embedding, map }: OutputPlan,
  image: Image__Output,
  field: string,
  call: Call,
  check: (map: PlannedMap | undefined) => void | Promise<void>,
): Promise<{ readonly embedding?: WireTensor; readonly map?: WireTensor }> {
  const prepared = await admitImage(context, image, field, call);
  const planned = map && planMaps(context, map, prepared)[0]!;
  await check(planned);
  const outputs = [embedding?.output, planned?.output].filter((output) => output !== undefined);
  const computed = await inferAll(context, prepared.image, outputs, call);
  return {
    ...(embedding && {
      embedding: await timed(call, 'encode', () => embeddingMessage(computed[0]!, embedding)),
    }),
    ...(planned && {
      map: (await extractMap(context, map, planned, computed.at(-1)!, undefined, call)).features,
    }),
  };
}
