import type { GetServerInfoResponse__Output } from '../proto/generated/vicregl/v1/GetServerInfoResponse.js';
import type { ServedModel__Output } from '../proto/generated/vicregl/v1/ServedModel.js';
import { type ModelId, readModelId } from './model.js';

/** A model that requests can name. */
export interface ServedModel extends ModelId {
  /** Whether requests without a model use this one. */
  readonly isDefault: boolean;
  /** `loading`: its workers are starting; `failed`: they cannot be started. */
  readonly state: 'ready' | 'loading' | 'failed' | 'unknown';
  /** The execution provider in use: cpu or cuda. */
  readonly provider: string;
  readonly architecture: string;
  /** Workers that run it at present. */
  readonly workers: number;
  /** Allowed sizes of the network input in pixels; empty means any. */
  readonly inputSizes: readonly { readonly width: number; readonly height: number }[];
}

/** A limit on requests. */
export interface Limit {
  readonly value: number;
  /** Such as bytes, pixels, images or seconds; empty for a plain number. */
  readonly unit: string;
  readonly description: string;
}

/** Versions, models and limits of a server. */
export interface ServerInfo {
  readonly serverVersion: string;
  readonly onnxruntimeVersion: string;
  readonly nodeVersion: string;
  /** Operating system and processor, such as linux-x64. */
  readonly platform: string;
  /** By name, as in the server's configuration, in snake_case. */
  readonly limits: ReadonlyMap<string, Limit>;
  /** The default first. */
  readonly models: readonly ServedModel[];
  readonly uptimeSeconds: number;
}

const states: Readonly<Partial<Record<ServedModel__Output['state'], ServedModel['state']>>> = {
  MODEL_STATE_READY: 'ready',
  MODEL_STATE_LOADING: 'loading',
  MODEL_STATE_FAILED: 'failed',
};

export function readServedModel(message: ServedModel__Output): ServedModel {
  const { isDefault, provider, architecture, workers, inputSizes } = message;
  return {
    ...readModelId(message.model),
    isDefault,
    state: states[message.state] ?? 'unknown',
    provider,
    architecture,
    workers,
    inputSizes,
  };
}

export function readServerInfo(message: GetServerInfoResponse__Output): ServerInfo {
  const { serverVersion, onnxruntimeVersion, nodeVersion, platform, uptimeSeconds } = message;
  return {
    serverVersion,
    onnxruntimeVersion,
    nodeVersion,
    platform,
    limits: new Map(
      message.limits.map(({ name, value, unit, description }) => [name, { value, unit, description }] as const),
    ),
    models: message.models.map(readServedModel),
    uptimeSeconds,
  };
}

/** What a service says of network inputs and maps. */
export interface StatedLimits {
  /** Of network inputs: their pixels, and their sizes where only certain ones are allowed. */
  readonly output: {
    readonly inputPixels: number;
    readonly inputSizes?: readonly { readonly width: number; readonly height: number }[];
  };
  /** Maximum pixels of an image. */
  readonly imagePixels: number;
  /** Maximum bytes of one float32 map. */
  readonly mapBytes: number;
}

/** The limits that a service states for a model; infinite where it states none, since it checks those itself. */
export function statedLimits({ limits, models }: Pick<ServerInfo, 'limits' | 'models'>, model: ModelId): StatedLimits {
  const limit = (name: string): number => limits.get(name)?.value ?? Number.POSITIVE_INFINITY;
  const { inputSizes = [] } =
    models.find(({ name, version }) => name === model.name && version === model.version) ?? {};
  return {
    output: { inputPixels: limit('input_pixels'), ...(inputSizes.length > 0 && { inputSizes }) },
    imagePixels: limit('image_pixels'),
    mapBytes: limit('map_bytes'),
  };
}
