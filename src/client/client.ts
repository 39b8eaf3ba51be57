import { joinChunks } from './chunks.js';
import { type Embedding, embedMessage, readEmbedding } from './embedding.js';
import { type Features, featuresMessage, readFeatures } from './features.js';
import { createGrpcTransport } from './grpcTransport.js';
import type { ImageInput } from './image.js';
import {
  type Item,
  mapItems,
  type Settled,
  type StreamAnswer,
  type StreamItem,
  settled,
  splitItem,
  streamAnswers,
} from './items.js';
import { type Matches, readMatches } from './matches.js';
import { type MatchInput, sideMessage } from './matchInput.js';
import { type ModelInfo, readModelInfo } from './model.js';
import {
  type EmbedFields,
  type EmbedOptions,
  type FeatureFields,
  type FeatureOptions,
  homographyMessage,
  type MatchOptions,
  matchingMessage,
  type RequestOptions,
  type StoreOptions,
} from './options.js';
import type { SecurityOptions } from './security.js';
import { readServedModel, readServerInfo, type ServedModel, type ServerInfo } from './serverInfo.js';
import { readStoredFeatures, type StoredFeatures, storeMessage } from './storedFeatures.js';
import type { CallOptions, Transport } from './transport.js';
import { VicreglError } from './vicreglError.js';

/** Cold models and busy CPUs answer within seconds; beyond a minute something is wrong. */
const DEFAULT_DEADLINE_MS = 60_000;

/** As large as the server sends by default; gRPC's own 4 MiB is a float32 map of 2048 channels at 720 px. */
const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export interface ClientOptions extends SecurityOptions {
  /** HOST:PORT of the service. */
  readonly address: string;
  /** Longest wait for an answer in ms. Default 60 s. */
  readonly deadlineMs?: number;
  /** Largest message to receive in bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number;
}

/** Talks to a vicregl service. Every method rejects with a VicreglError. */
export interface Client {
  /** The global vector of an image. */
  embed(image: ImageInput, options?: EmbedOptions): Promise<Embedding>;
  /** The local vector of every cell of an image. */
  features(image: ImageInput, options?: FeatureOptions): Promise<Features>;
  /** The global vectors of several images in one call, in their order; an image that fails is rejected by itself. */
  embedBatch(items: readonly Item<EmbedFields>[], options?: EmbedOptions): Promise<readonly Settled<Embedding>[]>;
  /** The local vectors of several images in one call. */
  featuresBatch(
    items: readonly Item<FeatureFields>[],
    options?: RequestOptions & FeatureFields,
  ): Promise<readonly Settled<Features>[]>;
  /**
   * Global vectors of images as they come, in the order in which they become ready. An image is taken from the iterable when
   * the service can take it, and an answer is received when the one before has been taken. An image that fails is rejected
   * by itself; the iteration throws where the stream itself ends early. Leaving the loop gives up the call.
   */
  embedStream(
    items: Iterable<StreamItem<EmbedFields>> | AsyncIterable<StreamItem<EmbedFields>>,
    options?: EmbedOptions,
  ): AsyncIterable<StreamAnswer<Embedding>>;
  /** Local vectors of images as they come, in the manner of embedStream. */
  featuresStream(
    items: Iterable<StreamItem<FeatureFields>> | AsyncIterable<StreamItem<FeatureFields>>,
    options?: RequestOptions & FeatureFields,
  ): AsyncIterable<StreamAnswer<Features>>;
  /** Pairs of cells of two images, or of features that the server keeps or the caller has. */
  match(a: MatchInput, b: MatchInput, options?: MatchOptions): Promise<Matches>;
  /** Pairs of cells of one image with each of several, in their order; a target that fails is rejected by itself. */
  matchMany(
    query: MatchInput,
    targets: readonly MatchInput[],
    options?: MatchOptions,
  ): Promise<readonly Settled<Matches>[]>;
  /** Keeps the local vectors of an image on the server for a while, to be matched by reference. */
  storeFeatures(image: ImageInput, options?: StoreOptions): Promise<StoredFeatures>;
  /** What a served model is. */
  model(options?: RequestOptions): Promise<ModelInfo>;
  /** The models that can be named in requests. */
  models(options?: CallOptions): Promise<readonly ServedModel[]>;
  /** What the server is: versions, models, and the limits on requests with their values. */
  serverInfo(options?: CallOptions): Promise<ServerInfo>;
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
      call(async () => readEmbedding(await transport.embed(embedMessage(image, options), options))),
    features: (image, options = {}) =>
      call(async () => {
        const request = featuresMessage(image, options);
        if (options.chunked) return readFeatures(await joinChunks(transport.extractFeaturesChunked(request, options)));
        const { maxResponseBytes } = transport;
        return readFeatures(await transport.extractFeatures({ ...request, maxResponseBytes }, options));
      }),
    embedBatch: (items, options = {}) =>
      call(async () => {
        const requests = items.map((item, i) => {
          const { image, options: fields } = splitItem<EmbedFields>(item, options);
          return embedMessage(image, fields, `items[${i}].image`);
        });
        const { results } = await transport.embedBatch({ requests }, options);
        return results.map((result) => settled(result, readEmbedding));
      }),
    featuresBatch: (items, options = {}) =>
      call(async () => {
        const { maxResponseBytes } = transport;
        const requests = items.map((item, i) => {
          const { image, options: fields } = splitItem<FeatureFields>(item, options);
          return { ...featuresMessage(image, fields, `items[${i}].image`), maxResponseBytes };
        });
        const { results } = await transport.extractFeaturesBatch({ requests, maxResponseBytes }, options);
        return results.map((result) => settled(result, readFeatures));
      }),
    embedStream: (items, options = {}) =>
      streamAnswers(
        transport.embedStream(
          mapItems(items, ({ id, image, ...fields }) => ({
            id,
            request: embedMessage(image, { ...options, ...fields }),
          })),
          options,
        ),
        readEmbedding,
      ),
    featuresStream: (items, options = {}) =>
      streamAnswers(
        transport.extractFeaturesStream(
          mapItems(items, ({ id, image, ...fields }) => ({
            id,
            request: {
              ...featuresMessage(image, { ...options, ...fields }),
              maxResponseBytes: transport.maxResponseBytes,
            },
          })),
          options,
        ),
        readFeatures,
      ),
    match: (a, b, options = {}) =>
      call(async () => {
        const { model = '' } = options;
        const sides = { a: sideMessage(a, 'a'), b: sideMessage(b, 'b') };
        const how = { ...matchingMessage(options), ...homographyMessage(options) };
        return readMatches(await transport.match({ model, ...sides, ...how }, options));
      }),
    matchMany: (query, targets, options = {}) =>
      call(async () => {
        const { model = '' } = options;
        const sides = {
          query: sideMessage(query, 'query'),
          targets: targets.map((target, i) => sideMessage(target, `targets[${i}]`)),
        };
        const how = { ...matchingMessage(options), ...homographyMessage(options) };
        const { results } = await transport.matchMany({ model, ...sides, ...how }, options);
        return results.map((result) => settled(result, readMatches));
      }),
    storeFeatures: (image, options = {}) =>
      call(async () => readStoredFeatures(await transport.storeFeatures(storeMessage(image, options), options))),
    model: (options = {}) =>
      call(async () => readModelInfo(await transport.getModel({ model: options.model ?? '' }, options))),
    models: (options = {}) => call(async () => (await transport.listModels({}, options)).models.map(readServedModel)),
    serverInfo: (options = {}) => call(async () => readServerInfo(await transport.getServerInfo({}, options))),
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
