import { availableParallelism } from 'node:os';
import { defaultImageLimits, type ImageLimits } from '../../image/decode.js';
import { defaultOutputLimits, enoughPipelinePixels, type OutputLimits } from '../../image/resize.js';

const MiB = 1024 * 1024;

/** The default receive limit of gRPC clients in bytes, less what the message around the tensor takes. */
export const DEFAULT_CLIENT_RESPONSE_BYTES = 4 * MiB - 4096;

/** As many as there are cores, from 2 to 8: each process takes some 60 MB. */
const DECODE_CONCURRENCY = Math.max(2, Math.min(8, availableParallelism()));

/**
 * Size of a call's header list in bytes that every connection announces (SETTINGS_MAX_HEADER_LIST_SIZE): HTTP/2 resets the
 * streams of longer ones, and nghttp2 ends the connection for a single field of more.
 */
export const MAX_METADATA_BYTES = 65_536;

/**
 * What requests may cost. A limit has the key of the configuration as its name, and errors give that name.
 */
export interface ServeLimits {
  /** Largest request message in bytes; grpc-js refuses a larger one before it is read whole. */
  readonly maxMessageBytes: number;
  /** Most bytes of one call's metadata: names, values, and 32 for each, as HTTP/2 counts them. */
  readonly metadataBytes: number;
  /** Entries of one request message: messages within it; eight plain fields, or sixteen numbers in a row, count as one. */
  readonly messageEntries: number;
  /** Bytes of all request messages that are being answered, with what their entries take. */
  readonly requestBytes: number;
  /** Running calls of one connection; further calls wait in its client (HTTP/2's concurrent streams). */
  readonly callsPerConnection: number;
  /** Largest response message in bytes, also for a caller that can receive more. */
  readonly maxResponseBytes: number;
  /** Largest answer of several messages in bytes. */
  readonly maxChunkedBytes: number;
  /** Bytes of all answers that are on their way to callers. */
  readonly responseBytes: number;
  /** Seconds in which the whole message of a call has to arrive; messages of streams have no such limit. */
  readonly receiveSeconds: number;
  /** Seconds between two keepalive pings of a connection. */
  readonly keepaliveSeconds: number;
  /** Seconds in which a ping has to be answered; else the connection is closed with its calls. */
  readonly keepaliveTimeoutSeconds: number;
  /** Seconds in which a caller has to take a message of an answer, for each MiB of it. */
  readonly readSeconds: number;
  /** Items of one stream that may be unanswered. */
  readonly streamItems: number;
  /** Requests in one batch request. */
  readonly batchRequests: number;
  /** What one image may cost until it is decoded. */
  readonly image: Required<ImageLimits>;
  /** What one network input may cost. */
  readonly output: OutputLimits & Required<Pick<OutputLimits, 'pipelinePixels'>>;
  /** Most cells_a * cells_b * channels of one match by features. */
  readonly maxMatchProducts: number;
  /** Most cells_a * cells_b of one match by location. */
  readonly maxLocationPairs: number;
  /** Most pairs * samples (max_iterations) of one homography. */
  readonly maxHomographyTests: number;
  /** Targets of one MatchMany. */
  readonly matchTargets: number;
  /** Bytes of features kept by reference. */
  readonly storedFeaturesBytes: number;
  /** Images whose features are kept by reference. */
  readonly storedFeatures: number;
  /** Seconds for which features are kept after their last use, at most. */
  readonly storedFeaturesTtl: number;
  /** Matches that may wait for their turn. */
  readonly queueMatches: number;
  /** Regions of one pooling. */
  readonly poolingRegions: number;
  /** Pixels of all masks of one pooling; a run length counts as one. */
  readonly maskPixels: number;
  /** Cells that one request may name. */
  readonly namedCells: number;
  /** Principal components of one request. */
  readonly pcaComponents: number;
  /** Most vectors * channels * components of one PCA, and cells under regions * channels of one pooling. */
  readonly maxReduceProducts: number;
  /** Poolings and PCAs that may wait for their turn. */
  readonly queueReductions: number;
  /**
   * Bytes of all float32 maps that will be pooled or reduced, counted from before the network runs until that is done, or that
   * are read of features sent to be matched.
   */
  readonly mapBytes: number;
  /** Images and masks decoded at the same time. */
  readonly decodeConcurrency: number;
  /** Processes in which they are decoded; 0: in that of the service. */
  readonly decodeProcesses: number;
  /** Images that may be decoded or wait for the engine. */
  readonly queueImages: number;
  /** Bytes of network inputs that may wait for the engine; items of streams reserve theirs before they are decoded. */
  readonly queueBytes: number;
  /** Most images in one run of the engine. Absent: what is usual on its provider (runLimits.ts). */
  readonly batchImages: number | undefined;
  /** Most input pixels in one run of the engine; one larger image runs alone. Absent: so many images of the usual size. */
  readonly batchPixels: number | undefined;
  /** How long a batch that is not full waits for more images while a worker is idle, in ms. */
  readonly maxQueueDelayMs: number;
}

/** The limits that are one number, by the key of the configuration. */
export type LimitKey = { [K in keyof ServeLimits]-?: ServeLimits[K] extends number ? K : never }[keyof ServeLimits];

/** "over the limit of 64 (batchRequests)": what every error says that rejects work because of a limit. */
export function overLimit<K extends LimitKey>(limits: Readonly<Record<K, number>>, key: K): string {
  return `over the limit of ${limits[key]} (${key})`;
}

export const defaultServeLimits: ServeLimits = {
  // Two images of the largest size, as a Match carries them, and the message around them.
  maxMessageBytes: 2 * defaultImageLimits.imageBytes + MiB,
  // The default of gRPC's own servers. HTTP/2 allows MAX_METADATA_BYTES, so that a call between the two is refused with a reason.
  metadataBytes: 16_384,
  // The most cells that may be named, and half as much; 0.1 s to decode.
  messageEntries: 131_072,
  // 7 requests of the largest size, or 3,000 photographs of 170 kB: encoded images are small beside what they decode to.
  requestBytes: 512 * MiB,
  // 8 full batches: more calls of one client would only wait in the queue, and grpc-js holds each message before it is counted.
  callsPerConnection: 128,
  // 4,096 cells of 2,048 channels in float32 are 32 MiB; for more than twice that, chunked answers are the right method.
  maxResponseBytes: 64 * MiB,
  // The map of the first stage (256 channels, stride 4) of the largest network input in float32.
  maxChunkedBytes: 256 * MiB,
  // Two chunked answers of the largest size, or 8 unary ones: more would wait in memory for slow readers.
  responseBytes: 512 * MiB,
  // 230 kB a second for the largest message.
  receiveSeconds: 300,
  // Routers forget connections that are silent for some minutes; a ping is 17 bytes.
  keepaliveSeconds: 60,
  keepaliveTimeoutSeconds: 20,
  // 17 kB a second is a poor mobile line; slower readers hold memory that other answers need.
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
  // All pairs of 4,096 cells with the most samples, or 26,000 with the usual ones: 1.5 s on one core (measured), in steps of
  // some ms, of the thread that also answers health checks.
  maxHomographyTests: 2 ** 29,
  // 4 full batches, and some seconds on a small CPU.
  matchTargets: 64,
  // 8 maps of 4,096 cells and 2,048 channels, or 650 of 14 x 14 and 512.
  storedFeaturesBytes: 256 * MiB,
  // Beyond the bytes, each costs a few hundred of its own.
  storedFeatures: 4096,
  // A session of a user, or a job's pass over its images.
  storedFeaturesTtl: 600,
  // Each holds two maps, up to 64 MiB, and those at the end wait 13 s for matches of the largest size.
  queueMatches: 32,
  // What a segmentation of a photograph into everything comes to, several times over.
  poolingRegions: 1024,
  // 5 bitmaps of the largest image, 22 of 12 megapixels, or as many as there may be regions of 500 x 500: a second of the
  // thread that also answers health checks, in steps of some ms. Run lengths say the same in a thousandth.
  maskPixels: 2 ** 28,
  // The cells of the largest map at stride 8.
  namedCells: 65_536,
  // A picture takes 3; the work grows with the square of their number.
  pcaComponents: 64,
  // A map of 4,096 cells and 2,048 channels to its 64 components, in some seconds of a thread of its own.
  maxReduceProducts: 600_000_000,
  // As queueMatches.
  queueReductions: 32,
  // All four stages of a ResNet-50 on the largest network input (480 MiB), or its first stage alone twice. The largest message
  // of int8 features takes half of it when it is read.
  mapBytes: 512 * MiB,
  // Decoding takes one core an image, and up to 150 MB for the largest.
  decodeConcurrency: DECODE_CONCURRENCY,
  decodeProcesses: DECODE_CONCURRENCY,
  // Some seconds of work on a small CPU: images behind them would miss their deadlines anyway.
  queueImages: 256,
  queueBytes: 512 * MiB,
  batchImages: undefined,
  batchPixels: undefined,
  // Larger batches form by themselves while workers are busy. To wait for them pays only where batches gain much, as on CUDA.
  maxQueueDelayMs: 0,
};
