import type { GetServerInfoResponse__Output } from '../proto/generated/vicregl/v1/GetServerInfoResponse.js';
import type { ServedModel__Output } from '../proto/generated/vicregl/v1/ServedModel.js';
import { type ModelId, readModelId } from './model.js';

/** A model that can be named in requests. */
export interface ServedModel extends ModelId {
  /** Whether requests that name no model get this one. */
  readonly isDefault: boolean;
  /** `loading`: its workers are being started; `failed`: they cannot be. */
  readonly state: 'ready' | 'loading' | 'failed' | 'unknown';
  /** What really runs it: cpu or cuda. */
  readonly provider: string;
  readonly architecture: string;
  /** Workers that run it now. */
  readonly workers: number;
  /** The sizes in pixels that a network input may have; empty: any. */
  readonly inputSizes: readonly { readonly width: number; readonly height: number }[];
}

/** One number that bounds what requests may cost. */
export interface Limit {
  readonly value: number;
  /** bytes, pixels, images, seconds and the like; empty for a plain number. */
  readonly unit: string;
  readonly description: string;
}

/** What a server is. */
export interface ServerInfo {
  readonly serverVersion: string;
  readonly onnxruntimeVersion: string;
  readonly nodeVersion: string;
  /** Operating system and processor, such as linux-x64. */
  readonly platform: string;
  /** By name, as the server's configuration has them, in snake_case. */
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
