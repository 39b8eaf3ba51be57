import type { StoreFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/StoreFeaturesRequest.js';
import type { StoreFeaturesResponse } from '../../../proto/generated/vicregl/v1/StoreFeaturesResponse.js';
import type { Call } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { storedImage } from '../matching/source.js';
import { checkRange } from '../wire/fields.js';
import { gridMessage } from '../wire/grid.js';
import { localOutput, modelId } from '../wire/model.js';

/** StoreFeatures: stores the local vectors of an image for matches by reference. */
export async function storeFeatures(
  context: ServeContext,
  request: StoreFeaturesRequest__Output,
  call: Call,
): Promise<StoreFeaturesResponse> {
  const { storedFeaturesTtl } = context.limits;
  const { ttlSeconds: asked = storedFeaturesTtl } = request;
  checkRange(
    'ttl_seconds',
    asked,
    (value) => value >= 1 && value <= storedFeaturesTtl,
    `1 to ${storedFeaturesTtl} (storedFeaturesTtl)`,
  );
  const output = localOutput(context.engine, request.space, 'projector where there is one');
  const { source, found, keep } = await storedImage(context, request.image, 'image', output, call, asked);
  const ttlSeconds = await keep(call);
  return {
    featureRef: source.ref,
    grid: gridMessage(source.grid),
    model: modelId(context),
    ttlSeconds,
    alreadyStored: found,
  };
}
