import type { ModelInferRequest__Output } from '../../proto/generated/inference/ModelInferRequest.js';
import type { ModelInferResponse } from '../../proto/generated/inference/ModelInferResponse.js';
import { status } from '../../proto/status.js';
import type { ContextLender, ServeContext } from '../api/context.js';
import type { PlannedMap } from '../api/features/plan.js';
import { inferOutputs, type OutputPlan, planOutputs } from '../api/methods/inferOutputs.js';
import { invalid } from '../api/wire/fields.js';
import { type WireTensor, wireBytes } from '../api/wire/wireTensor.js';
import { type Call, timed } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import { overLimit, type ServeLimits } from '../config/serveLimits.js';
import { type ModelRegistry, modelLabel } from '../inference/registry.js';
import { answerElements, atPlace } from './elements.js';
import { datatypeOf, type InferRequest, type OutputTensorName, readInferRequest } from './inferRequest.js';
import { findModel } from './served.js';

/** ModelInfer: Embed, ExtractFeatures or both, for every image of a request. */

/** Bytes of a vector of a response. */
function embeddingBytes({ engine }: ServeContext, { embedding }: OutputPlan): number {
  if (!embedding) return 0;
  const { representation, embedding: expander = 0 } = engine.manifest.dims;
  return wireBytes(1, embedding.output === 'representation' ? representation : expander, embedding.dtype);
}

const sizeOf = ({ usedGrid: { rows, columns } }: PlannedMap): string => `${rows} x ${columns}`;

/** @throws ServeError `too_large` for a response over the limit, before the network runs. */
function checkSize(context: ServeContext, plan: OutputPlan, map: PlannedMap | undefined, images: number): void {
  const bytes = images * (embeddingBytes(context, plan) + (map?.bytes ?? 0));
  if (bytes <= context.limits.maxResponseBytes) return;
  const what = map
    ? `maps of ${sizeOf(map)} cells with ${map.dimensions} channels in ${plan.map!.dtype}`
    : `embeddings in ${plan.embedding!.dtype}`;
  throw new ServeError(
    'too_large',
    `the ${what} of ${images} images are ${bytes} bytes, ${overLimit(context.limits, 'maxResponseBytes')}; ask for datatype ` +
      'FP16, a smaller size (resize), or fewer images at a time',
  );
}

/**
 * Checks that the maps of all images have one size, since a tensor has one shape. Where the sizes are those of the images, the others
 * are not decoded before the first one is: their pixels would have to wait for it, outside of the queue, which counts their bytes.
 */
function createShapeCheck({ images: [image], input, wanted }: InferRequest) {
  const vary = wanted.map !== undefined && Boolean(image!.native);
  let first: PlannedMap | undefined;
  let tell = (): void => {};
  const known = new Promise<void>((resolve) => {
    tell = resolve;
  });
  return {
    /** Resolves when the image may be decoded. @throws the reason of the call's signal */
    async start(index: number, { signal }: Call): Promise<void> {
      if (!vary || index === 0) return;
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        void known.then(() => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        });
      });
    },
    /** @throws ServeError `invalid_argument` for a map of another size than the first */
    check(index: number, map: PlannedMap): void {
      first ??= map;
      tell();
      const [size, other] = [sizeOf(map), sizeOf(first)];
      if (size === other) return;
      throw invalid(
        `${input}[${index}]: its map has ${size} cells, and that of ${input}[0] has ${other}, but the maps of a request are one ` +
          'tensor; send images of one size, one image a request, or set resize to fit:WIDTHxHEIGHT',
      );
    },
  };
}

type Computed = Awaited<ReturnType<typeof inferOutputs>>;

async function inferEach(context: ServeContext, request: InferRequest, call: Call): Promise<readonly Computed[]> {
  const { images, input, wanted } = request;
  const plan = planOutputs(context, wanted);
  const shapes = createShapeCheck(request);
  return answerElements(images.length, call, async (i, own) => {
    const place = `${input}[${i}]`;
    try {
      await shapes.start(i, own);
      return await inferOutputs(context, plan, images[i]!, place, own, (map) => {
        if (map) shapes.check(i, map);
        checkSize(context, plan, map, images.length);
      });
    } catch (error) {
      throw atPlace(place, error);
    }
  });
}

/** Joins the tensors of all images to one with a leading dimension. */
function joined(name: OutputTensorName, computed: readonly Computed[]) {
  const tensors = computed.map((each) => each[name] as WireTensor);
  const { dtype, shape } = tensors[0]!;
  return {
    output: { name, datatype: datatypeOf(dtype), shape: [tensors.length, ...shape] },
    contents: tensors.length === 1 ? tensors[0]!.data : Buffer.concat(tensors.map(({ data }) => data)),
  };
}

export function createModelInfer(
  contexts: ContextLender,
  models: Pick<ModelRegistry, 'served'>,
  limits: ServeLimits,
): (request: ModelInferRequest__Output, call: Call) => Promise<ModelInferResponse> {
  return async (message, call) => {
    const names = { name: 'model_name', version: 'model_version' };
    const model = findModel(models, message.modelName, message.modelVersion, names);
    const { id } = message;
    const request = readInferRequest(message, limits);
    // The images alone hold the message from here on.
    message.rawInputContents = [];
    message.inputs = [];
    return contexts.use(modelLabel(model), async (context) => {
      const computed = await inferEach(context, request, call);
      for (const _ of computed) call.observeItem?.(status.OK);
      const { manifest } = context.engine;
      return timed(call, 'encode', () => {
        const tensors = request.outputs.map((name) => joined(name, computed));
        return {
          modelName: manifest.name,
          modelVersion: manifest.version,
          id,
          outputs: tensors.map(({ output }) => output),
          rawOutputContents: tensors.map(({ contents }) => contents),
        };
      });
    });
  };
}
