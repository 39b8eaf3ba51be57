import type { ModelInferRequest__Output } from '../../proto/generated/inference/ModelInferRequest.js';
import type { ModelInferResponse } from '../../proto/generated/inference/ModelInferResponse.js';
import { status } from '../../proto/status.js';
import type { ContextLender, ServeContext } from '../api/context.js';
import type { PlannedMap } from '../api/features/plan.js';
import { inferOutputs, type OutputPlan, planOutputs } from '../api/methods/inferOutputs.js';
import { invalid } from '../api/wire/fields.js';
import { type WireDType, type WireTensor, wireBytes } from '../api/wire/wireTensor.js';
import type { Call } from '../call/call.js';
import { timed } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import { overLimit, type ServeLimits } from '../config/serveLimits.js';
import { type ModelRegistry, modelLabel } from '../inference/registry.js';
import { answerElements, atPlace } from './elements.js';
import { type InferRequest, type OutputTensorName, readInferRequest } from './inferRequest.js';
import { findModel } from './served.js';

/** ModelInfer: Embed, ExtractFeatures or both, for every image of a request. */

/** The names of our types in the protocol. */
const datatypes = { DATA_TYPE_FLOAT32: 'FP32', DATA_TYPE_FLOAT16: 'FP16', DATA_TYPE_INT8: 'INT8' } as const;
const datatypeOf = (dtype: WireDType): string => (dtype === 'float16' ? 'FP16' : 'FP32');

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
    ? `maps of ${sizeOf(map)} cells with ${map.dimensions} channels in ${datatypeOf(plan.map!.dtype)}`
    : `embeddings in ${datatypeOf(plan.embedding!.dtype)}`;
  throw new ServeError(
    'too_large',
    `the ${what} of ${images} images are ${bytes} bytes, ${overLimit(context.limits, 'maxResponseBytes')}; ask for datatype ` +
      'FP16, a smaller size (resize), or fewer images at a time',
  );
}

/**
 * Checks that the maps of all images have one size, before the network runs for an image: a tensor has one shape.
 * @returns called with each map in turn; a map waits for that of the first image
 */
function createShapeCheck(input: string): (index: number, map: PlannedMap) => Promise<void> {
  let tell: (first: PlannedMap) => void = () => {};
  const first = new Promise<PlannedMap>((resolve) => {
    tell = resolve;
  });
  return async (index, map) => {
    if (index === 0) tell(map);
    const other = sizeOf(await first);
    if (sizeOf(map) === other) return;
    throw invalid(
      `${input}[${index}]: its map has ${sizeOf(map)} cells, and that of ${input}[0] has ${other}, but the maps of a request ` +
        'are one tensor; send images of one size, one image a request, or set resize to fit:WIDTHxHEIGHT',
    );
  };
}

/** The signal of a call as a promise that rejects when it is aborted. */
function aborted({ signal }: Call): { readonly promise: Promise<never>; stop(): void } {
  let stop = (): void => {};
  const promise = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => signal.removeEventListener('abort', onAbort);
  });
  // It may be aborted when nothing waits for it.
  promise.catch(() => {});
  return { promise, stop };
}

type Computed = Awaited<ReturnType<typeof inferOutputs>>;

async function inferEach(
  context: ServeContext,
  { images, input, wanted }: InferRequest,
  call: Call,
): Promise<readonly Computed[]> {
  const plan = planOutputs(context, wanted);
  const checkShape = createShapeCheck(input);
  return answerElements(images.length, call, async (i, own) => {
    const place = `${input}[${i}]`;
    const end = aborted(own);
    try {
      return await inferOutputs(context, plan, images[i]!, place, own, async (map) => {
        if (map) await Promise.race([checkShape(i, map), end.promise]);
        checkSize(context, plan, map, images.length);
      });
    } catch (error) {
      throw atPlace(place, error);
    } finally {
      end.stop();
    }
  });
}

/** Joins the tensors of all images to one with a leading dimension. */
function joined(name: OutputTensorName, computed: readonly Computed[]) {
  const tensors = computed.map((each) => each[name] as WireTensor);
  const { dtype, shape } = tensors[0]!;
  return {
    output: { name, datatype: datatypes[dtype], shape: [tensors.length, ...shape] },
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
