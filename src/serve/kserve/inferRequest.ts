import { RESIZE_FORMS, readResizeText } from '../../image/resizeText.js';
import type {
  ModelInferRequest__Output,
  _inference_ModelInferRequest_InferRequestedOutputTensor__Output as RequestedOutput,
} from '../../proto/generated/inference/ModelInferRequest.js';
import type { DataType__Output } from '../../proto/generated/vicregl/v1/DataType.js';
import type { GlobalSpace__Output } from '../../proto/generated/vicregl/v1/GlobalSpace.js';
import type { Image__Output } from '../../proto/generated/vicregl/v1/Image.js';
import type { LocalSpace__Output } from '../../proto/generated/vicregl/v1/LocalSpace.js';
import type { WantedOutputs } from '../api/methods/inferOutputs.js';
import { invalid } from '../api/wire/fields.js';
import { quoted } from '../call/quoted.js';
import type { ServeLimits } from '../config/serveLimits.js';
import { type Options, type ParameterName, parameterKinds, readParameters } from './parameters.js';
import { type InputName, inputNameOf, readImages } from './tensors.js';

/** Reads ModelInfer requests as the messages of our own methods. */

/** Names of the outputs, in the order in which they are returned if a request names none. */
export const outputNames = ['embedding', 'map'] as const;

export type OutputTensorName = (typeof outputNames)[number];

/** The parameters of each output, and of inputs. */
const outputParameters = {
  embedding: ['space', 'l2_normalize', 'datatype'],
  map: ['space', 'l2_normalize', 'datatype', 'stage'],
} as const satisfies Readonly<Record<OutputTensorName, readonly ParameterName[]>>;
const inputParameters = ['resize'] as const satisfies readonly ParameterName[];

/** The values of `space` for each output. */
const embeddingSpaces: Readonly<Record<string, GlobalSpace__Output>> = {
  backbone: 'GLOBAL_SPACE_BACKBONE',
  expander: 'GLOBAL_SPACE_EXPANDER',
};
const mapSpaces: Readonly<Record<string, LocalSpace__Output>> = {
  backbone: 'LOCAL_SPACE_BACKBONE',
  local_projector: 'LOCAL_SPACE_LOCAL_PROJECTOR',
};

/** The values of `datatype`. */
const dataTypes: Readonly<Record<string, DataType__Output>> = {
  FP32: 'DATA_TYPE_FLOAT32',
  FP16: 'DATA_TYPE_FLOAT16',
};

/** The name of an element type in the protocol. */
export function datatypeOf(dtype: DataType__Output): string {
  return Object.keys(dataTypes).find((name) => dataTypes[name] === dtype)!;
}

const MAX_UINT32 = 2 ** 32 - 1;

/** Maximum length of an id in characters: the response repeats it. */
const MAX_ID = 256;

/** A request, read. */
export interface InferRequest {
  /** The input that the images come from, for errors. */
  readonly input: InputName;
  readonly images: readonly Image__Output[];
  /** The outputs in the order of the request. */
  readonly outputs: readonly OutputTensorName[];
  readonly wanted: WantedOutputs;
}

/** @throws ServeError `invalid_argument` listing the values. */
function oneOf<T>(field: string, value: string, values: Readonly<Record<string, T>>): T {
  if (Object.hasOwn(values, value)) return values[value]!;
  throw invalid(`${field}: ${quoted(value)} is none of ${Object.keys(values).join(', ')}`);
}

/** The resize policy in an image of our own messages. */
function resizeOf(text: string | undefined): Pick<Image__Output, 'shortestSide' | 'fit' | 'native' | 'resize'> {
  if (text === undefined) return {};
  const policy = readResizeText(text);
  const isWrong = policy === undefined || Object.values(policy).some((value) => Number(value) > MAX_UINT32);
  if (isWrong) throw invalid(`resize: ${quoted(text)} is not ${RESIZE_FORMS} (pixels)`);
  switch (policy.kind) {
    case 'native':
      return { native: {}, resize: 'native' };
    case 'fit':
      return { fit: { width: policy.width, height: policy.height }, resize: 'fit' };
    case 'shortestSide':
      return { shortestSide: { resize: policy.resize, crop: policy.crop ?? 0 }, resize: 'shortestSide' };
  }
}

/** @throws ServeError `invalid_argument` for an unknown output, and for one that is listed twice. */
function requestedOutputs(outputs: readonly RequestedOutput[]): readonly OutputTensorName[] {
  const names: OutputTensorName[] = [];
  // Ends at the third output at the latest, however long the list is.
  for (const [i, { name }] of outputs.entries()) {
    const known = outputNames.find((each) => each === name);
    if (known === undefined) {
      throw invalid(`outputs[${i}].name: ${quoted(name)} is not an output; there are ${outputNames.join(' and ')}`);
    }
    if (names.includes(known)) throw invalid(`outputs: ${known} is listed twice; list each output once`);
    names.push(known);
  }
  return names.length > 0 ? names : outputNames;
}

/** @throws ServeError `invalid_argument` for a parameter that nothing in the request has, such as `stage` without a map. */
function checkUsed(given: Options, outputs: readonly OutputTensorName[]): void {
  const used: readonly ParameterName[] = [
    ...inputParameters,
    ...outputs.flatMap((name) => [...outputParameters[name]]),
  ];
  const unused = Object.keys(given).find((name) => !used.some((each) => each === name));
  if (unused === undefined) return;
  throw invalid(`parameters["${unused}"]: no requested output has it; request the output that does, or omit it`);
}

type OutputOptions = Options<(typeof outputParameters)['map'][number]>;

function wantedOf(options: ReadonlyMap<OutputTensorName, OutputOptions>): WantedOutputs {
  const common = (name: OutputTensorName, { l2_normalize: l2Normalize = false, datatype = 'FP32' }: OutputOptions) => ({
    l2Normalize,
    dtype: oneOf(`datatype of ${name}`, datatype, dataTypes),
  });
  const embedding = options.get('embedding');
  const map = options.get('map');
  return {
    ...(embedding && {
      embedding: {
        ...common('embedding', embedding),
        space: oneOf('space of embedding', embedding.space ?? 'backbone', embeddingSpaces),
      },
    }),
    ...(map && {
      map: {
        ...common('map', map),
        space: oneOf('space of map', map.space ?? 'backbone', mapSpaces),
        stages: map.stage === undefined ? [] : [map.stage],
      },
    }),
  };
}

/**
 * Reads a request.
 * @throws ServeError `invalid_argument` naming the field, the value and what to send.
 */
export function readInferRequest(
  { id, parameters, inputs, outputs: requested, rawInputContents: raw }: ModelInferRequest__Output,
  limits: Pick<ServeLimits, 'batchRequests'>,
): InferRequest {
  if (id.length > MAX_ID) {
    throw invalid(`id: ${id.length} characters, over the limit of ${MAX_ID}; send a shorter one`);
  }
  const [input] = inputs;
  if (input === undefined) throw invalid('inputs: empty; send image (BYTES [N]) or pixels (UINT8 [B, H, W, 3])');
  if (inputs.length > 1) {
    throw invalid(`inputs: ${inputs.length} inputs; send either image or pixels, with all images of the request`);
  }
  if (raw.length > 1) {
    throw invalid(`raw_input_contents: ${raw.length} elements for 1 input; send one, with all images of the request`);
  }
  const outputs = requestedOutputs(requested);
  const all = readParameters('parameters', parameters, Object.keys(parameterKinds) as ParameterName[]);
  checkUsed(all, outputs);
  const ofInput = readParameters('inputs[0].parameters', input.parameters, inputParameters);
  const options = new Map(
    outputs.map((name, i) => {
      const own = readParameters(`outputs[${i}].parameters`, requested[i]?.parameters ?? {}, outputParameters[name]);
      return [name, { ...all, ...own }] as const;
    }),
  );
  const wanted = wantedOf(options);
  const resize = resizeOf(ofInput.resize ?? all.resize);
  return {
    input: inputNameOf(input.name),
    images: readImages(input, raw[0], limits).map((source) => ({ ...source, ...resize, crop: null })),
    outputs,
    wanted,
  };
}
