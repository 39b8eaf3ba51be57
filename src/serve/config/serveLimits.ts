import { availableParallelism } from 'node:os';
import { defaultImageLimits, type ImageLimits } from '../../image/decode.js';
import { defaultOutputLimits, enoughPipelinePixels, type OutputLimits } from '../../image/resize.js';

const MiB = 1024 * 1024;

/** The default receive limit of gRPC clients in bytes, less the message around the tensor. */
export const DEFAULT_CLIENT_RESPONSE_BYTES = 4 * MiB - 4096;

/** The number of cores, at least 2 and at most 8: each process uses some 60 MB. */
const DECODE_CONCURRENCY = Math.max(2, Math.min(8, availableParallelism()));

/**
 * Maximum size of a call's header list in bytes, which every connection announces (SETTINGS_MAX_HEADER_LIST_SIZE). HTTP/2 resets
 * streams with longer lists, and nghttp2 ends the connection if a single field is longer.
 */
export const MAX_METADATA_BYTES = 65_536;

/**
 * The limits of requests. A limit is named like its configuration key, and errors contain that name.
 */
export interface ServeLimits {
  /** Maximum request message in bytes; grpc-js rejects a larger one before all of it is read. */
  readonly maxMessageBytes: number;
  /** Maximum bytes of one call's metadata: names, values, and 32 per entry, as HTTP/2 counts them. */
  readonly metadataBytes: number;
  /**
   * Maximum entries of one request message: a nested message counts as one, and so do an element of a list of texts or bytes, eight
   * scalar fields or 16 packed numbers.
   */
  readonly messageEntries: number;
  /** Maximum bytes of all requests in progress, including the memory of their entries. */
  readonly requestBytes: number;
  /** Maximum running calls of one connection; further calls wait in its client (HTTP/2's concurrent streams). */
  readonly callsPerConnection: number;
  /** Maximum response message in bytes, also for callers that can receive more. */
  readonly maxResponseBytes: number;
  /** Maximum bytes of a response of several messages. */
  readonly maxChunkedBytes: number;
  /** Maximum bytes of all responses that callers have not received yet. */
  readonly responseBytes: number;
  /** Maximum seconds until the whole message of a call has arrived; does not apply to streams. */
  readonly receiveSeconds: number;
  /** Maximum seconds for a request over HTTP, from its header to its response. */
  readonly httpDeadlineSeconds: number;
  /** Seconds between two keepalive pings of a connection. */
  readonly keepaliveSeconds: number;
  /** Seconds in which a ping has to be answered; otherwise the connection is closed, and its calls end. */
  readonly keepaliveTimeoutSeconds: number;
  /** Seconds after which a connection is closed to new calls, so that its client connects again and finds new replicas; 0: never. */
  readonly connectionAgeSeconds: number;
  /** Seconds in which the running calls of such a connection have to end; 0: no limit. */
  readonly connectionAgeGraceSeconds: number;
  /** Maximum seconds for a caller to receive a response message, per MiB of it, and in which it takes no slice of a larger one. */
  readonly readSeconds: number;
  /** Maximum unanswered items of one stream. */
  readonly streamItems: number;
  /** Maximum requests in one batch request. */
  readonly batchRequests: number;
  /** Limits of one image, up to its decoding. */
  readonly image: Required<ImageLimits>;
  /** Limits of one network input. */
  readonly output: OutputLimits & Required<Pick<OutputLimits, 'pipelinePixels'>>;
  /** Maximum cells_a * cells_b * channels of one match by features. */
  readonly maxMatchProducts: number;
  /** Maximum cells_a * cells_b of one match by location. */
  readonly maxLocationPairs: number;
  /** Maximum pairs * samples (max_iterations) of one homography. */
  readonly maxHomographyTests: number;
  /** Maximum targets of one MatchMany. */
  readonly matchTargets: number;
  /** Maximum bytes of stored features. */
  readonly storedFeaturesBytes: number;
  /** Maximum images with stored features. */
  readonly storedFeatures: number;
  /** Maximum seconds for which features are stored after their last use. */
  readonly storedFeaturesTtl: number;
  /** Maximum matches that wait to be computed. */
  readonly queueMatches: number;
  /** Maximum regions of one pooling. */
  readonly poolingRegions: number;
  /** Maximum pixels of all masks of one pooling; a run length counts as one. */
  readonly maskPixels: number;
  /** Maximum cells that one request may list. */
  readonly namedCells: number;
  /** Maximum principal components of one request. */
  readonly pcaComponents: number;
  /** Maximum vectors * channels * components of one PCA, and cells under regions * channels of one pooling. */
  readonly maxReduceProducts: number;
  /** Maximum poolings and PCAs that wait to be computed. */
  readonly queueReductions: number;
  /**
   * Maximum bytes of all float32 maps that are pooled or reduced, counted from before the network runs until that is done, and of
   * all maps read from features that callers send to be matched.
   */
  readonly mapBytes: number;
  /** Maximum images and masks decoded at the same time. */
  readonly decodeConcurrency: number;
  /** Processes in which they are decoded; 0: in the process of the service. */
  readonly decodeProcesses: number;
  /** Maximum tiles of one image. */
  readonly tilesPerImage: number;
  /** Maximum images that are being decoded or wait for the engine. */
  readonly queueImages: number;
  /** Maximum bytes of network inputs that wait for the engine; stream items reserve theirs before they are decoded. */
  readonly queueBytes: number;
  /** Maximum images in one run of the engine. Absent: the default of its provider (runLimits.ts). */
  readonly batchImages: number | undefined;
  /** Maximum input pixels in one run of the engine; a single larger image runs alone. Absent: `batchImages` of 224 x 224. */
  readonly batchPixels: number | undefined;
  /** How long a batch that is not full waits for more images while a worker is idle, in ms. */
  readonly maxQueueDelayMs: number;
}

/** The limits that are one number, by the key of the configuration. */
export type LimitKey = { [K in keyof ServeLimits]-?: ServeLimits[K] extends number ? K : never }[keyof ServeLimits];

/** "over the limit of 64 (batchRequests)": the common part of every error that rejects work because of a limit. */
export function overLimit<K extends LimitKey>(limits: Readonly<Record<K, number>>, key: K): string {
  return `over the limit of ${limits[key]} (${key})`;
}

export const defaultServeLimits: ServeLimits = {
  // Two images of the maximum size, as in a Match, and the message around them.
  maxMessageBytes: 2 * defaultImageLimits.imageBytes + MiB,
  // The default of gRPC servers. HTTP/2 allows MAX_METADATA_BYTES, so that a call between the two limits is rejected with a reason.
  metadataBytes: 16_384,
  // Twice `namedCells`; 0.1 s to decode.
  messageEntries: 131_072,
  // 7 requests of the maximum size, or 3,000 photographs of 170 kB: encoded images are small compared to their pixels.
  requestBytes: 512 * MiB,
  // 8 full batches: more calls of one client would only wait in the queue, and grpc-js holds each message before it is counted.
  callsPerConnection: 128,
  // 4,096 cells of 2,048 channels in float32 are 32 MiB; for more than twice that, use chunked responses.
  maxResponseBytes: 64 * MiB,
  // The map of the first stage (256 channels, stride 4) of the largest network input in float32.
  maxChunkedBytes: 256 * MiB,
  // Two chunked responses of the maximum size, or 8 unary ones: more would wait in memory for slow readers.
  responseBytes: 512 * MiB,
  // 230 kB a second for the largest message.
  receiveSeconds: 300,
  // As long as proxies wait by default; a queue that is full of large images takes less on a small CPU.
  httpDeadlineSeconds: 60,
  // Routers drop connections that are silent for some minutes; a ping has 17 bytes.
  keepaliveSeconds: 60,
  keepaliveTimeoutSeconds: 20,
  // A new replica has its share of the load after this time, and a connection costs little.
  connectionAgeSeconds: 1800,
  // A stream may work through a data set for hours.
  connectionAgeGraceSeconds: 0,
  // 17 kB a second is a poor mobile connection; slower readers hold memory that other responses need.
  readSeconds: 60,
  // A full batch on CUDA: more would only wait in the queue.
  streamItems: 16,
  // 4 full batches, and some seconds on a small CPU.
  batchRequests: 64,
  image: defaultImageLimits,
  output: {
    ...defaultOutputLimits,
    pipelinePixels: enoughPipelinePixels(defaultImageLimits.imagePixels, defaultOutputLimits.inputPixels),
  },
  // 4,096 x 4,096 cells of 2,048 channels: 3.4 s of two cores with AVX2 that had other work too (scripts/bench/matching.ts).
  maxMatchProducts: 2 ** 35,
  // 0.4 s on one core (measured), in steps of some ms: these are compared on the thread that also answers health checks.
  maxLocationPairs: 300_000_000,
  // All pairs of 4,096 cells with the maximum of samples, or 26,000 with the default: 1.5 s on one core (measured), in steps of
  // some ms, of the thread that also answers health checks.
  maxHomographyTests: 2 ** 29,
  // 4 full batches, and some seconds on a small CPU.
  matchTargets: 64,
  // 8 maps of 4,096 cells and 2,048 channels, or 650 of 14 x 14 and 512.
  storedFeaturesBytes: 256 * MiB,
  // In addition to its vectors, each entry uses a few hundred bytes.
  storedFeatures: 4096,
  // A user's session, or a job's pass over its images.
  storedFeaturesTtl: 600,
  // Each holds two maps, up to 64 MiB. The last one waits 13 s if all matches have the maximum size.
  queueMatches: 32,
  // Several times the segments of a photograph in which everything is segmented.
  poolingRegions: 1024,
  // 5 bitmaps of the largest image, 22 of 12 megapixels, or as many as there may be regions of 500 x 500: a second of the
  // thread that also answers health checks, in steps of some ms. Run lengths need a thousandth of that.
  maskPixels: 2 ** 28,
  // The cells of the largest map at stride 8.
  namedCells: 65_536,
  // An RGB picture needs 3; the work grows with the square of their number.
  pcaComponents: 64,
  // A map of 4,096 cells and 2,048 channels reduced to 64 components, in some seconds of a separate thread.
  maxReduceProducts: 600_000_000,
  // Like queueMatches.
  queueReductions: 32,
  // All four stages of a ResNet-50 on the largest network input (480 MiB), or its first stage twice. Reading the largest message of
  // int8 features needs half of it.
  mapBytes: 512 * MiB,
  // Decoding uses one core per image, and up to 150 MB for the largest.
  decodeConcurrency: DECODE_CONCURRENCY,
  decodeProcesses: DECODE_CONCURRENCY,
  // Half of the places that streams can have in the queue, so that two such images are computed at a time. At 2,048 pixels more
  // than the largest photograph; a photograph of 12 megapixels needs 48 of 640 with an overlap of 128.
  tilesPerImage: 64,
  // Some seconds of work on a small CPU: images that wait longer would miss their deadlines.
  queueImages: 256,
  queueBytes: 512 * MiB,
  batchImages: undefined,
  batchPixels: undefined,
  // Larger batches form while workers are busy. Waiting for them is useful only where large batches are much faster, as on CUDA.
  maxQueueDelayMs: 0,
};
