import type { BalancingOptions } from './balancing.js';
import { joinChunks } from './chunks.js';
import { type Embedding, embedMessage, readEmbedding } from './embedding.js';
import { type Features, featuresMessage, readFeatures } from './features.js';
import { createGrpcTransport } from './grpcTransport.js';
import type { ImageInput } from './image.js';
import {
  built,
  type Item,
  mapItems,
  type Settled,
  type StreamAnswer,
  type StreamItem,
  settled,
  splitItem,
  streamAnswers,
  withOwn,
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

/** Cold models and busy CPUs answer within seconds; a call of more than a minute has a problem. */
const DEFAULT_DEADLINE_MS = 60_000;

/** The default of the server's largest response. gRPC's own default, 4 MiB, is a float32 map of 2048 channels at 720 px. */
const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export interface ClientOptions extends SecurityOptions, BalancingOptions {
  /**
   * HOST:PORT of the service. A name of several addresses, such as dns:///vicregl:50051 of a headless Service, stands for replicas, over
   * which calls are spread; so does a list such as ipv4:10.0.0.1:50051,10.0.0.2:50051.
   */
  readonly address: string;
  /** Deadline of a call in ms. Default 60 s. */
  readonly deadlineMs?: number;
  /** Maximum size of a received message in bytes. Default: 64 MiB. */
  readonly maxMessageBytes?: number;
}

/** A client of a vicregl service. Every method rejects with a VicreglError. */
export interface Client {
  /** Computes the global vector of an image. */
  embed(image: ImageInput, options?: EmbedOptions): Promise<Embedding>;
  /** Computes the local vector of every cell of an image. */
  features(image: ImageInput, options?: FeatureOptions): Promise<Features>;
  /** The global vectors of several images in one call, in the same order; a failed image is rejected on its own. */
  embedBatch(items: readonly Item<EmbedFields>[], options?: EmbedOptions): Promise<readonly Settled<Embedding>[]>;
  /** The local vectors of several images in one call, in the manner of `embedBatch`. */
  featuresBatch(
    items: readonly Item<FeatureFields>[],
    options?: RequestOptions & FeatureFields,
  ): Promise<readonly Settled<Features>[]>;
  /**
   * The global vectors of a stream of images, in the order in which they become ready. The client reads an image from the
   * iterable when the service can take it, and receives a result when the caller has taken the previous one. A failed image is
   * rejected on its own; the iteration throws if the stream itself fails. Leaving the loop cancels the call. When the call ends, the
   * iteration of the items is closed, and a Readable destroyed.
   */
  embedStream(
    items: Iterable<StreamItem<EmbedFields>> | AsyncIterable<StreamItem<EmbedFields>>,
    options?: EmbedOptions,
  ): AsyncIterable<StreamAnswer<Embedding>>;
  /** The local vectors of a stream of images, in the manner of `embedStream`. */
  featuresStream(
    items: Iterable<StreamItem<FeatureFields>> | AsyncIterable<StreamItem<FeatureFields>>,
    options?: RequestOptions & FeatureFields,
  ): AsyncIterable<StreamAnswer<Features>>;
  /** Matched cells of two images; a side may also be features that the server stores or the caller has. */
  match(a: MatchInput, b: MatchInput, options?: MatchOptions): Promise<Matches>;
  /** Matches of one image with each of several targets, in the same order; a failed target is rejected on its own. */
  matchMany(
    query: MatchInput,
    targets: readonly MatchInput[],
    options?: MatchOptions,
  ): Promise<readonly Settled<Matches>[]>;
  /** Stores the local vectors of an image on the server for a limited time, for matches by reference. */
  storeFeatures(image: ImageInput, options?: StoreOptions): Promise<StoredFeatures>;
  /** The properties of a served model. */
  model(options?: RequestOptions): Promise<ModelInfo>;
  /** The models that requests can name. */
  models(options?: CallOptions): Promise<readonly ServedModel[]>;
  /** The server's versions and models, and its limits on requests with their values. */
  serverInfo(options?: CallOptions): Promise<ServerInfo>;
  /** Resolves when the service can be reached. Default timeout: 10 s; Infinity: none. Rejects when the client is closed. */
  waitForReady(timeoutMs?: number): Promise<void>;
  /**
   * Closes the connection. Calls in flight are finished; later ones reject with `FAILED_PRECONDITION`. Resolves when the calls with one
   * request have begun to be answered, or have failed: with `waitForReady`, at their deadline.
   */
  close(): Promise<void>;
}

/** A client over any transport; the CLI has one within its own process. */
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
        const request = built(() => embedMessage(image, options));
        return readEmbedding(await transport.embed(request, options));
      }),
    features: (image, options = {}) =>
      call(async () => {
        const request = built(() => featuresMessage(image, options));
        if (options.chunked) return readFeatures(await joinChunks(transport.extractFeaturesChunked(request, options)));
        const { maxResponseBytes } = transport;
        return readFeatures(await transport.extractFeatures({ ...request, maxResponseBytes }, options));
      }),
    embedBatch: (items, options = {}) =>
      call(async () => {
        const requests = built(() =>
          items.map((item, i) => {
            const { image, options: fields } = splitItem<EmbedFields>(item, options);
            return embedMessage(image, fields, `items[${i}].image`);
          }),
        );
        const { results } = await transport.embedBatch({ requests }, options);
        return results.map((result) => settled(result, readEmbedding));
      }),
    featuresBatch: (items, options = {}) =>
      call(async () => {
        const { maxResponseBytes } = transport;
        const requests = built(() =>
          items.map((item, i) => {
            const { image, options: fields } = splitItem<FeatureFields>(item, options);
            return { ...featuresMessage(image, fields, `items[${i}].image`), maxResponseBytes };
          }),
        );
        const { results } = await transport.extractFeaturesBatch({ requests, maxResponseBytes }, options);
        return results.map((result) => settled(result, readFeatures));
      }),
    embedStream: (items, options = {}) =>
      streamAnswers(
        transport.embedStream(
          mapItems(items, ({ id, image, ...fields }) => ({
            id,
            request: embedMessage(image, withOwn<EmbedFields>(options, fields)),
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
              ...featuresMessage(image, withOwn<FeatureFields>(options, fields)),
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
        const request = built(() => ({
          model,
          a: sideMessage(a, 'a'),
          b: sideMessage(b, 'b'),
          ...matchingMessage(options),
          ...homographyMessage(options),
        }));
        return readMatches(await transport.match(request, options));
      }),
    matchMany: (query, targets, options = {}) =>
      call(async () => {
        const { model = '' } = options;
        const request = built(() => ({
          model,
          query: sideMessage(query, 'query'),
          targets: targets.map((target, i) => sideMessage(target, `targets[${i}]`)),
          ...matchingMessage(options),
          ...homographyMessage(options),
        }));
        const { results } = await transport.matchMany(request, options);
        return results.map((result) => settled(result, readMatches));
      }),
    storeFeatures: (image, options = {}) =>
      call(async () => {
        const request = built(() => storeMessage(image, options));
        return readStoredFeatures(await transport.storeFeatures(request, options));
      }),
    model: (options = {}) =>
      call(async () => readModelInfo(await transport.getModel({ model: options.model ?? '' }, options))),
    models: (options = {}) => call(async () => (await transport.listModels({}, options)).models.map(readServedModel)),
    serverInfo: (options = {}) => call(async () => readServerInfo(await transport.getServerInfo({}, options))),
    waitForReady: (timeoutMs = 10_000) => call(() => transport.waitForReady(timeoutMs)),
    close: () => transport.close(),
  };
}

/** A client of the service at an address. It connects at the first call. */
export function createClient(options: ClientOptions): Client {
  const { deadlineMs = DEFAULT_DEADLINE_MS, maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES } = options;
  return createClientOver(createGrpcTransport({ ...options, deadlineMs, maxMessageBytes }));
}
