import type { ChannelCredentials } from '@grpc/grpc-js';
import { type Grid, readGrid } from './grid.js';
import { createGrpcTransport } from './grpcTransport.js';
import { type ImageInput, imageMessage } from './image.js';
import { type Matches, readMatches } from './matches.js';
import { type ModelId, type ModelInfo, readModelId, readModelInfo } from './model.js';
import {
  dataTypes,
  type EmbedOptions,
  type FeatureOptions,
  globalSpaces,
  localSpaces,
  type MatchOptions,
  matchingMessage,
  type RequestOptions,
} from './options.js';
import { float32Of, type ReceivedTensor, readTensor } from './tensor.js';
import type { Transport } from './transport.js';
import { VicreglError } from './vicreglError.js';

/** Cold models and busy CPUs answer within seconds; beyond a minute something is wrong. */
const DEFAULT_DEADLINE_MS = 60_000;

/** As large as the server sends by default; gRPC's own 4 MiB is a float32 map of 2048 channels at 720 px. */
const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export interface ClientOptions {
  /** HOST:PORT of the service. */
  readonly address: string;
  /** Longest wait for an answer in ms. Default 60 s. */
  readonly deadlineMs?: number;
  /** Largest message to receive in bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Default: no TLS. */
  readonly credentials?: ChannelCredentials;
}

/** The global vector of one image. */
export interface Embedding {
  readonly vector: Float32Array;
  /** As received. */
  readonly tensor: ReceivedTensor;
  readonly model: ModelId;
}

/** The local vectors of one image. */
export interface Features {
  /** The vectors, [rows, columns, channels] row-major. */
  readonly data: Float32Array;
  /** [rows, columns, channels]. */
  readonly shape: readonly number[];
  readonly grid: Grid;
  /** As received. */
  readonly tensor: ReceivedTensor;
  readonly model: ModelId;
}

/** Talks to a vicregl service. Every method rejects with a VicreglError. */
export interface Client {
  /** The global vector of an image. */
  embed(image: ImageInput, options?: EmbedOptions): Promise<Embedding>;
  /** The local vector of every cell of an image. */
  features(image: ImageInput, options?: FeatureOptions): Promise<Features>;
  /** Pairs of cells of two images. */
  match(a: ImageInput, b: ImageInput, options?: MatchOptions): Promise<Matches>;
  /** What the served model is. */
  model(options?: RequestOptions): Promise<ModelInfo>;
  /** Resolves when the service can be reached. Default: within 10 s. */
  waitForReady(timeoutMs?: number): Promise<void>;
  /** Frees the connection. */
  close(): Promise<void>;
}

/** A client over any transport; the CLI uses it without a socket. */
export function createClientOver(transport: Transport): Client {
  async function call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw VicreglError.from(error);
    }
  }

  return {
    embed: (image, options = {}) =>
      call(async () => {
        const { model = '', space = 'backbone', l2Normalize = false, dtype = 'float32' } = options;
        const response = await transport.embed(
          {
            model,
            image: imageMessage(image, 'image'),
            space: globalSpaces[space],
            l2Normalize,
            dtype: dataTypes[dtype],
          },
          options,
        );
        const tensor = readTensor(response.embedding);
        return { vector: float32Of(tensor), tensor, model: readModelId(response.model) };
      }),
    features: (image, options = {}) =>
      call(async () => {
        const { model = '', space = 'backbone', l2Normalize = false, dtype = 'float32' } = options;
        const response = await transport.extractFeatures(
          {
            model,
            image: imageMessage(image, 'image'),
            space: localSpaces[space],
            l2Normalize,
            dtype: dataTypes[dtype],
            maxResponseBytes: transport.maxResponseBytes,
          },
          options,
        );
        const tensor = readTensor(response.features);
        return {
          data: float32Of(tensor),
          shape: tensor.shape,
          grid: readGrid(response.grid),
          tensor,
          model: readModelId(response.model),
        };
      }),
    match: (a, b, options = {}) =>
      call(async () => {
        const images = { a: { image: imageMessage(a, 'a') }, b: { image: imageMessage(b, 'b') } };
        const { model = '' } = options;
        return readMatches(await transport.match({ model, ...images, ...matchingMessage(options) }, options));
      }),
    model: (options = {}) =>
      call(async () => readModelInfo(await transport.getModel({ model: options.model ?? '' }, options))),
    waitForReady: (timeoutMs = 10_000) => call(() => transport.waitForReady(timeoutMs)),
    close: () => transport.close(),
  };
}

/** A client of the service at an address. It connects on the first call. */
export function createClient(options: ClientOptions): Client {
  return createClientOver(
    createGrpcTransport({
      deadlineMs: DEFAULT_DEADLINE_MS,
      maxMessageBytes: DEFAULT_MAX_MESSAGE_BYTES,
      ...options,
    }),
  );
}
