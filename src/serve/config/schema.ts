import { z } from 'zod';
import { defaultImageLimits } from '../../image/decode.js';
import { bytes, inputSize, listener, optionalListener, readInputSize, whole } from './fields.js';
import { securityKeys, securityProblems } from './securityKeys.js';
import { defaultServeLimits, MAX_METADATA_BYTES } from './serveLimits.js';

/**
 * The configuration of `vicregl serve`: the descriptions are --help and the table in docs/service.md. A key `queueImages`
 * is the flag --queue-images, the variable VICREGL_QUEUE_IMAGES and `queueImages:` in a file.
 */

const listeners = {
  address: listener.default('127.0.0.1:50051').describe('Where gRPC listens, HOST:PORT; port 0 takes a free one.'),
  metricsAddress: optionalListener
    .default('127.0.0.1:9464')
    .describe('Where /metrics, /healthz and /readyz listen over HTTP; off: nowhere.'),
  adminAddress: optionalListener
    .default('127.0.0.1:9465')
    .describe(
      'Where the admin calls (reload, config) listen over HTTP; off: nowhere. Beyond loopback it needs a token with admin: true.',
    ),
};

const models = {
  model: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('Model folders, by path or by name (vicregl models list). Absent: the bundled model.'),
  device: z
    .enum(['auto', 'cpu', 'cuda'])
    .default('auto')
    .describe(
      'What runs the models; auto takes CUDA where a small run on it succeeds, cuda fails where it does not. int8 is for the CPU.',
    ),
  workers: whole(1, 256).default(1).describe('Processes that run each model, each with all of it.'),
  threads: whole(1, 1024).optional().describe('Threads of each worker. Absent: the cores, shared by the workers.'),
  inputSizes: z
    .array(inputSize)
    .min(1)
    .optional()
    .describe(
      "Sizes that network inputs may have beside the model's own, all made ready before the service says SERVING: for CUDA, " +
        "where each new one costs a search for kernels. Absent: any, of which the model's own is ready.",
    ),
  // A hang lasts for ever. The longest run that is none, one image of inputPixels, is to stay far below, also on a small CPU.
  runSeconds: whole(1, 86_400)
    .default(120)
    .describe(
      'Seconds that a worker may take for one run or one search of a match; then it hangs, is killed and replaced.',
    ),
};

const { image, output, ...defaults } = defaultServeLimits;

const limits = {
  maxMessageBytes: whole(1024, 2 ** 31 - 1)
    .default(defaults.maxMessageBytes)
    .describe('Largest request message in bytes.'),
  metadataBytes: whole(1024, MAX_METADATA_BYTES - 1024)
    .default(defaults.metadataBytes)
    .describe("Most bytes of a call's metadata: names, values, and 32 for each, as HTTP/2 counts them."),
  messageEntries: whole(1024, 100_000_000)
    .optional()
    .describe(
      'Entries of one request message: messages within it; eight plain fields, or sixteen numbers in a row, count as one. ' +
        'Absent: 131072, or twice namedCells, poolingRegions, batchRequests or matchTargets where that is more.',
    ),
  requestBytes: bytes(1024)
    .optional()
    .describe('Bytes of all requests being answered. Absent: 536870912, or twice maxMessageBytes where that is more.'),
  callsPerConnection: whole(1, 65_536)
    .default(defaults.callsPerConnection)
    .describe('Calls of one connection at a time; its client waits with more.'),
  maxResponseBytes: whole(65_536, 2 ** 31 - 1)
    .default(defaults.maxResponseBytes)
    .describe('Largest response message in bytes.'),
  maxChunkedBytes: bytes(65_536)
    .default(defaults.maxChunkedBytes)
    .describe('Largest answer of several messages (ExtractFeaturesChunked) in bytes.'),
  responseBytes: bytes(65_536)
    .optional()
    .describe(
      'Bytes of all answers on their way to callers. Absent: 536870912, or twice maxResponseBytes or maxChunkedBytes where ' +
        'that is more.',
    ),
  receiveSeconds: whole(1, 86_400)
    .default(defaults.receiveSeconds)
    .describe('Seconds in which the whole message of a call has to arrive; those of streams have no such bound.'),
  keepaliveSeconds: whole(1, 86_400)
    .default(defaults.keepaliveSeconds)
    .describe('Seconds after which a connection is asked whether its other end is still there, and again.'),
  keepaliveTimeoutSeconds: whole(1, 3600)
    .default(defaults.keepaliveTimeoutSeconds)
    .describe('Seconds in which it has to answer that; else the connection is closed, and its calls are ended.'),
  readSeconds: whole(1, 86_400)
    .default(defaults.readSeconds)
    .describe(
      'Seconds in which a caller has to take a message of an answer, for each MiB of it; then its call is ended.',
    ),
  streamItems: whole(1, 4096)
    .default(defaults.streamItems)
    .describe('Items of one stream that may be unanswered; the server reads no further with more.'),
  batchRequests: whole(1, 4096).default(defaults.batchRequests).describe('Requests in one batch request.'),
  imageBytes: bytes(1024).default(image.imageBytes).describe('Bytes of one encoded or raw image.'),
  imagePixels: whole(1024, 2 ** 31 - 1)
    .default(image.imagePixels)
    .describe('Pixels of one decoded image.'),
  inputPixels: whole(1024, 2 ** 28)
    .default(output.inputPixels)
    .describe('Pixels of one network input.'),
  pipelinePixels: whole(1024, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe(
      'Pixels that all steps from one image to its network input may write (decoding, turning, resizing), planned before the ' +
        'first begins. Absent: twice imagePixels and 16 times inputPixels, which no image within its own limits needs.',
    ),
  maxMatchProducts: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxMatchProducts)
    .describe('Cells of a times cells of b times channels of one match by features.'),
  maxLocationPairs: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxLocationPairs)
    .describe('Cells of a times cells of b of one match by location.'),
  maxHomographyTests: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxHomographyTests)
    .describe('Pairs that there may be times samples (max_iterations) of one homography.'),
  matchTargets: whole(1, 4096).default(defaults.matchTargets).describe('Targets of one MatchMany.'),
  storedFeaturesBytes: bytes(1)
    .default(defaults.storedFeaturesBytes)
    .describe('Bytes of features kept by reference (StoreFeatures); the least recently used go first.'),
  storedFeatures: whole(1, 1_000_000)
    .default(defaults.storedFeatures)
    .describe('Images whose features are kept by reference.'),
  storedFeaturesTtl: whole(1, 31_536_000)
    .default(defaults.storedFeaturesTtl)
    .describe('Seconds for which features are kept by reference after their last use, at most.'),
  queueMatches: whole(1, 100_000).default(defaults.queueMatches).describe('Matches that may wait for their turn.'),
  poolingRegions: whole(1, 1_000_000).default(defaults.poolingRegions).describe('Regions of one pooling.'),
  maskPixels: whole(1024, Number.MAX_SAFE_INTEGER)
    .default(defaults.maskPixels)
    .describe(
      'Pixels of all masks of one pooling: those of each bitmap and PNG, while a run length (a byte of compressed ones) counts as one.',
    ),
  namedCells: whole(1, 10_000_000).default(defaults.namedCells).describe('Cells that one request may name.'),
  pcaComponents: whole(1, 4096).default(defaults.pcaComponents).describe('Principal components of one request.'),
  maxReduceProducts: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxReduceProducts)
    .describe('Vectors times channels times components of one PCA; cells under regions times channels of one pooling.'),
  queueReductions: whole(2, 100_000)
    .default(defaults.queueReductions)
    .describe('Poolings and PCAs that may wait for their turn.'),
  mapBytes: bytes(1024)
    .default(defaults.mapBytes)
    .describe(
      'Bytes of all float32 maps on their way to a pooling or a PCA, counted from before the network runs, or read of ' +
        'features sent to be matched; larger ones of one request fit alone.',
    ),
  decodeConcurrency: whole(1, 1024)
    .optional()
    .describe(
      'Images decoded at the same time. Absent: decodeProcesses, or the cores, at least 2 and at most 8. Above 4, Node needs ' +
        'UV_THREADPOOL_SIZE of as many where decodeProcesses is 0.',
    ),
  decodeProcesses: whole(0, 1024)
    .optional()
    .describe(
      'Processes that decode images and masks, each one at a time: a native crash, or memory that runs out, costs one image. ' +
        "Absent: decodeConcurrency. 0: in the service's own process, for images of people who are trusted.",
    ),
  decodeSeconds: whole(1, 3600)
    .default(defaultImageLimits.decodeSeconds)
    .describe('Seconds that one image, or one mask, may take from its bytes to the network input.'),
  queueImages: whole(2, 1_000_000)
    .default(defaults.queueImages)
    .describe('Images that may be on their way to the engine: being decoded or waiting.'),
  queueBytes: bytes(1024).default(defaults.queueBytes).describe('Bytes of prepared images that may wait.'),
  batchImages: whole(1, 1024)
    .optional()
    .describe('Most images in one run of an engine. Absent: 4 on the CPU, 16 on CUDA.'),
  batchPixels: whole(1024, 2 ** 31 - 1)
    .optional()
    .describe('Most pixels in one run; one larger image runs alone. Absent: batchImages of 224 x 224.'),
  maxQueueDelayMs: whole(0, 60_000)
    .default(defaults.maxQueueDelayMs)
    .describe('How long a batch that is not full waits for company while a worker is free, in ms.'),
};

const shutdown = {
  drainDelayMs: whole(0, 600_000)
    .default(0)
    .describe('How long calls are still taken after NOT_SERVING at a shutdown, so that load balancers look elsewhere.'),
  drainMs: whole(0, 3_600_000)
    .default(25_000)
    .describe('How long calls under way may take to finish at a shutdown, after drainDelayMs; then they are cut off.'),
};

const logging = {
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe(
      'Least severe lines that are logged; debug also logs every answered call, and every failed one where others count what is over ten a second.',
    ),
};

/** The keys by subject, as --help and the docs group them. */
export const keyGroups = {
  Listeners: listeners,
  Models: models,
  Security: securityKeys,
  Limits: limits,
  Shutdown: shutdown,
  Logging: logging,
};

export const serveConfigSchema = z
  .strictObject({ ...listeners, ...models, ...securityKeys, ...limits, ...shutdown, ...logging })
  .superRefine((config, context) => {
    const problem = (key: keyof typeof config, message: string): void => {
      context.addIssue({ code: 'custom', path: [key], input: config[key], message });
    };
    const { requestBytes, maxMessageBytes, responseBytes, maxResponseBytes, maxChunkedBytes } = config;
    if (responseBytes !== undefined && responseBytes < Math.max(maxResponseBytes, maxChunkedBytes)) {
      problem('responseBytes', 'is less than maxResponseBytes or maxChunkedBytes, so that the largest would never fit');
    }
    if (requestBytes !== undefined && requestBytes < maxMessageBytes) {
      problem('requestBytes', `is less than maxMessageBytes (${maxMessageBytes}), so that the largest would never fit`);
    }
    const { decodeConcurrency, decodeProcesses = 0 } = config;
    if (decodeProcesses > 0 && decodeConcurrency !== undefined && decodeConcurrency > decodeProcesses) {
      problem(
        'decodeConcurrency',
        `is more than decodeProcesses (${decodeProcesses}), each of which decodes one image`,
      );
    }
    for (const size of config.inputSizes ?? []) {
      const { width, height } = readInputSize(size);
      if (width * height > config.inputPixels) {
        problem('inputSizes', `${size} is over inputPixels (${config.inputPixels}), so that it would never be taken`);
      }
    }
    for (const { key, message } of securityProblems(config)) problem(key, message);
  });

/** A valid configuration with its defaults. */
export type ServeConfig = z.output<typeof serveConfigSchema>;
