import type { GetModelResponse__Output } from '../proto/generated/vicregl/v1/GetModelResponse.js';
import type { ModelId__Output } from '../proto/generated/vicregl/v1/ModelId.js';
import { VicreglError } from './vicreglError.js';

/** The model that produced a response. */
export interface ModelId {
  readonly name: string;
  readonly version: string;
}

/** The properties of a model. */
export interface ModelInfo extends ModelId {
  /** Backbone, such as convnext_atto. */
  readonly architecture: string;
  /** Number of blocks of each stage. */
  readonly depths: readonly number[];
  /** Number of channels of each stage. */
  readonly widths: readonly number[];
  /** Weight of the global loss in training; 1 is plain VICReg, null means unknown. */
  readonly alpha: number | null;
  /** Distance of adjacent cells in pixels of the network input. */
  readonly stride: number;
  /** Stages whose maps requests can name: number from 1, channels, distance of adjacent cells in input pixels. */
  readonly stages: readonly { readonly stage: number; readonly channels: number; readonly stride: number }[];
  /** Lengths of the vectors; absent for a head that the model does not have. */
  readonly dimensions: { readonly backbone: number; readonly localProjector?: number; readonly expander?: number };
  /** Default preprocessing of images, in pixels. */
  readonly preprocessing: { readonly resize: number; readonly crop: number };
  /** Data type of the stored weights. */
  readonly precision: string;
  /** Arithmetic of matrix products and convolutions. */
  readonly compute: string;
  readonly license: string;
  /** Summary of the training; empty if unknown. */
  readonly training: Readonly<Record<string, unknown>>;
  /** Execution provider: cpu or cuda. */
  readonly provider: string;
}

/** @throws VicreglError `INTERNAL` if the response does not name the model. */
export function readModelId(message: ModelId__Output | null): ModelId {
  if (message === null) throw new VicreglError('INTERNAL', 'the response does not name the model that answered');
  return { name: message.name, version: message.version };
}

/** An empty text means that nothing is known. */
function readTraining(json: string): Readonly<Record<string, unknown>> {
  if (json === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new VicreglError('INTERNAL', `the response's training_json cannot be read: ${String(cause)}`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new VicreglError('INTERNAL', `the response's training_json is not an object: ${json.slice(0, 80)}`);
}

/** @throws VicreglError `INTERNAL` for an incomplete response. */
export function readModelInfo(message: GetModelResponse__Output): ModelInfo {
  const { dimensions, preprocessing } = message;
  if (!dimensions || !preprocessing)
    throw new VicreglError('INTERNAL', 'the response has no dimensions or no preprocessing of the model');
  const { localProjector, expander } = dimensions;
  return {
    ...readModelId(message.model),
    architecture: message.architecture,
    depths: message.depths,
    widths: message.widths,
    alpha: message.alpha ?? null,
    stride: message.stride,
    stages: message.stages,
    dimensions: {
      backbone: dimensions.backbone,
      ...(localProjector !== undefined && { localProjector }),
      ...(expander !== undefined && { expander }),
    },
    preprocessing: { resize: preprocessing.resize, crop: preprocessing.crop },
    precision: message.precision,
    compute: message.compute,
    license: message.license,
    training: readTraining(message.trainingJson),
    provider: message.provider,
  };
}
