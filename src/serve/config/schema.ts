import { z } from 'zod';
import { defaultImageLimits } from '../../image/decode.js';
import { collide } from './address.js';
import {
  bytes,
  deviceField,
  inputSize,
  listener,
  optionalListener,
  path,
  readInputSize,
  webOrigin,
  whole,
} from './fields.js';
import { securityKeys, securityProblems } from './securityKeys.js';
import { defaultServeLimits, MAX_METADATA_BYTES } from './serveLimits.js';

/**
 * The configuration of `vicregl serve`: the descriptions are --help and the table in docs/service/reference.md. A key `queueImages`
 * is the flag --queue-images, the variable VICREGL_QUEUE_IMAGES and `queueImages:` in a file.
 */

const listeners = {
  address: listener
    .default('127.0.0.1:50051')
    .describe('Listen address for gRPC, HOST:PORT; port 0 selects a free port.'),
  httpAddress: optionalListener
    .default('off')
    .describe(
      'Listen address for the same methods over HTTP with JSON (docs/service/http.md), HOST:PORT; off disables it. Port 0 selects a free port.',
    ),
  httpCorsOrigins: z
    .array(webOrigin)
    .min(1)
    .optional()
    .describe(
      'Origins of web pages that may call over HTTP from a browser (CORS), such as https://example.com; * for all. Default: only pages of the listener itself.',
    ),
  metricsAddress: optionalListener
    .default('127.0.0.1:9464')
    .describe('Listen address for /metrics, /healthz and /readyz over HTTP; off disables it.'),
  adminAddress: optionalListener
    .default('127.0.0.1:9465')
    .describe(
      'Listen address for the admin calls (reload, config) over HTTP; off disables it. If it is not on loopback, a token with admin: true is required.',
    ),
};

/** The addresses that are bound, in the order in which they are named in errors. */
const listenerKeys = [
  'address',
  'httpAddress',
  'metricsAddress',
  'adminAddress',
] as const satisfies readonly (keyof typeof listeners)[];

const models = {
  model: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      'Model folders, by path or by name (see vicregl models list). Default: the bundled model, or none with modelDir.',
    ),
  modelDir: path
    .optional()
    .describe(
      'Models directory: DIR/NAME/VERSION/ are model folders, VERSION a whole number. Each model is served in its highest version; new ' +
        'versions and models are picked up while the service runs. They follow those of model.',
    ),
  modelDirPollSeconds: whole(1, 86_400).default(15).describe('Seconds between two looks at modelDir.'),
  device: deviceField
    .default('auto')
    .describe(
      'Device that runs the models: auto, cpu, cuda, or cuda:0,1 for these devices of a machine. auto: CUDA if a small run on it succeeds, ' +
        'else the CPU; cuda: an error if it does not. int8 models run on the CPU only.',
    ),
  workers: whole(1, 256)
    .default(1)
    .describe('Processes that run each model, on each device if device names several; each holds the whole model.'),
  threads: whole(1, 1024)
    .optional()
    .describe('Threads of each worker. Default: the number of cores divided by the workers.'),
  inputSizes: z
    .array(inputSize)
    .min(1)
    .optional()
    .describe(
      "Allowed sizes of network inputs in addition to the model's own. All of them are warmed up before the service reports " +
        "SERVING. Useful on CUDA, where each new size costs a search for kernels. Default: any size; the model's own is warmed up.",
    ),
  // A worker that hangs never recovers. The longest real run, one image of inputPixels, takes much less, also on a small CPU.
  runSeconds: whole(1, 86_400)
    .default(120)
    .describe(
      'Maximum seconds of a worker for one run or one search of a match. A worker that exceeds it is killed and replaced.',
    ),
};

const { image, output, ...defaults } = defaultServeLimits;

/** A week. Timers of Node have at most 24 days. */
const MAX_AGE_SECONDS = 604_800;

const limits = {
  maxMessageBytes: whole(1024, 2 ** 31 - 1)
    .default(defaults.maxMessageBytes)
    .describe('Maximum size of a request message in bytes.'),
  metadataBytes: whole(1024, MAX_METADATA_BYTES - 1024)
    .default(defaults.metadataBytes)
    .describe("Maximum size of a call's metadata in bytes: names, values, and 32 per entry, as HTTP/2 counts them."),
  messageEntries: whole(1024, 100_000_000)
    .optional()
    .describe(
      'Maximum number of entries in a request message. Each nested message counts as one, and so do an element of a list of texts or ' +
        'bytes, eight scalar fields or sixteen packed numbers. Default: 131072, or twice ' +
        'namedCells, poolingRegions, batchRequests or matchTargets if that is larger.',
    ),
  requestBytes: bytes(1024)
    .optional()
    .describe(
      'Maximum total bytes of all requests in progress. Default: 536870912, or twice maxMessageBytes if that is larger.',
    ),
  callsPerConnection: whole(1, 65_536)
    .default(defaults.callsPerConnection)
    .describe('Calls of one connection at a time; further calls wait in its client.'),
  maxResponseBytes: whole(65_536, 2 ** 31 - 1)
    .default(defaults.maxResponseBytes)
    .describe('Maximum size of a response message in bytes.'),
  maxChunkedBytes: bytes(65_536)
    .default(defaults.maxChunkedBytes)
    .describe('Maximum total size of a chunked response (ExtractFeaturesChunked) in bytes.'),
  responseBytes: bytes(65_536)
    .optional()
    .describe(
      'Maximum total bytes of all responses that callers have not received yet. Default: 536870912, or twice maxResponseBytes or ' +
        'maxChunkedBytes if that is larger.',
    ),
  receiveSeconds: whole(1, 86_400)
    .default(defaults.receiveSeconds)
    .describe('Maximum seconds until the whole request message of a call has arrived. Does not apply to streams.'),
  httpDeadlineSeconds: whole(1, 86_400)
    .default(defaults.httpDeadlineSeconds)
    .describe(
      'Maximum seconds for a request over HTTP, from its header to its response. A caller can shorten it by the header x-request-timeout-ms.',
    ),
  keepaliveSeconds: whole(1, 86_400)
    .default(defaults.keepaliveSeconds)
    .describe('Seconds between two keepalive pings of a connection.'),
  keepaliveTimeoutSeconds: whole(1, 3600)
    .default(defaults.keepaliveTimeoutSeconds)
    .describe('Seconds in which a ping has to be answered; otherwise the connection is closed, and its calls end.'),
  connectionAgeSeconds: whole(0, MAX_AGE_SECONDS)
    .default(defaults.connectionAgeSeconds)
    .describe(
      'Seconds, with a jitter of 10 %, after which a connection takes no new calls, so that its client connects again and finds ' +
        'replicas that were added. Running calls continue. Over HTTP the next response closes the connection. 0: never.',
    ),
  connectionAgeGraceSeconds: whole(0, MAX_AGE_SECONDS)
    .default(defaults.connectionAgeGraceSeconds)
    .describe(
      'Seconds after connectionAgeSeconds in which the running calls of a gRPC connection have to end; then they fail as UNAVAILABLE. ' +
        '0: no limit, for streams of hours.',
    ),
  readSeconds: whole(1, 86_400)
    .default(defaults.readSeconds)
    .describe(
      'Maximum seconds for a caller to receive a response message, per MiB of it, and in which it takes less than 256 KiB of a larger one. ' +
        'After that its call is ended.',
    ),
  streamItems: whole(1, 4096)
    .default(defaults.streamItems)
    .describe('Maximum unanswered items of one stream. When it is reached, the server stops reading the stream.'),
  batchRequests: whole(1, 4096).default(defaults.batchRequests).describe('Maximum requests in one batch request.'),
  imageBytes: bytes(1024).default(image.imageBytes).describe('Maximum bytes of one encoded or raw image.'),
  imagePixels: whole(1024, 2 ** 31 - 1)
    .default(image.imagePixels)
    .describe('Maximum pixels of a decoded image.'),
  inputPixels: whole(1024, 2 ** 28)
    .default(output.inputPixels)
    .describe('Maximum pixels of a network input.'),
  pipelinePixels: whole(1024, Number.MAX_SAFE_INTEGER)
    .optional()
    .describe(
      'Maximum pixels that all steps from one image to its network input write (decoding, rotating by EXIF, resizing). They are ' +
        'planned before the first step. Default: twice imagePixels, plus 16 times inputPixels or five times imagePixels, whichever is ' +
        'more: more than any image within the other limits needs.',
    ),
  maxMatchProducts: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxMatchProducts)
    .describe('Maximum product of the cells of a, the cells of b and the channels in a match by features.'),
  maxLocationPairs: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxLocationPairs)
    .describe('Maximum product of the cells of a and the cells of b in a match by location.'),
  maxHomographyTests: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxHomographyTests)
    .describe('Maximum product of the pairs and the samples (max_iterations) of one homography.'),
  matchTargets: whole(1, 4096).default(defaults.matchTargets).describe('Maximum targets of one MatchMany.'),
  storedFeaturesBytes: bytes(1)
    .default(defaults.storedFeaturesBytes)
    .describe('Maximum total bytes of stored features (StoreFeatures); the least recently used are evicted first.'),
  storedFeatures: whole(1, 1_000_000)
    .default(defaults.storedFeatures)
    .describe('Maximum number of images with stored features.'),
  storedFeaturesTtl: whole(1, 31_536_000)
    .default(defaults.storedFeaturesTtl)
    .describe('Maximum seconds for which stored features are kept after their last use.'),
  queueMatches: whole(1, 100_000).default(defaults.queueMatches).describe('Maximum matches that wait to be computed.'),
  poolingRegions: whole(1, 1_000_000).default(defaults.poolingRegions).describe('Maximum regions per pooling.'),
  maskPixels: whole(1024, Number.MAX_SAFE_INTEGER)
    .default(defaults.maskPixels)
    .describe(
      'Maximum pixels of all masks of one pooling. Bitmaps and PNG files count with all their pixels; a run length (or a byte of compressed ones) ' +
        'counts as one. Also the maximum cells that the rectangles of all regions touch, each counted once for every rectangle.',
    ),
  namedCells: whole(1, 10_000_000).default(defaults.namedCells).describe('Maximum cells that a request may list.'),
  pcaComponents: whole(1, 4096).default(defaults.pcaComponents).describe('Maximum principal components per request.'),
  maxReduceProducts: whole(1, Number.MAX_SAFE_INTEGER)
    .default(defaults.maxReduceProducts)
    .describe(
      'Maximum product of vectors, channels and components of a PCA (without a given basis: of two components more, which are computed too), ' +
        'or of the cells under the regions and the channels of a pooling.',
    ),
  queueReductions: whole(2, 100_000)
    .default(defaults.queueReductions)
    .describe('Maximum poolings and PCAs that wait to be computed.'),
  mapBytes: bytes(1024)
    .default(defaults.mapBytes)
    .describe(
      'Maximum bytes of all float32 maps for poolings and PCAs, merged from tiles and enlarged (upsample), counted from before the ' +
        'network runs, and for matches of sent features. Larger maps for poolings and PCAs are accepted when no others are held.',
    ),
  decodeConcurrency: whole(1, 1024)
    .optional()
    .describe(
      'Maximum images and masks decoded at the same time. Default: decodeProcesses, or the number of cores, at least 2 and at most ' +
        '8. If decodeProcesses is 0, values above 4 need an equal UV_THREADPOOL_SIZE.',
    ),
  decodeProcesses: whole(0, 1024)
    .optional()
    .describe(
      'Processes that decode images and masks, each one at a time. A native crash, or a lack of memory, fails only one image. ' +
        'Default: decodeConcurrency. 0: decode in the process of the service, for images from trusted sources.',
    ),
  decodeSeconds: whole(1, 3600)
    .default(defaultImageLimits.decodeSeconds)
    .describe('Maximum seconds for decoding and resizing an image, or for decoding a mask.'),
  tilesPerImage: whole(1, 1_000_000)
    .default(defaults.tilesPerImage)
    .describe('Maximum tiles (overlapping windows) of one image. Each of them takes a place of queueImages.'),
  queueImages: whole(2, 1_000_000)
    .default(defaults.queueImages)
    .describe('Maximum images that are being decoded or wait for the engine.'),
  queueBytes: bytes(1024)
    .default(defaults.queueBytes)
    .describe(
      'Maximum bytes of network inputs that wait for the engine. Stream items reserve theirs before they are decoded.',
    ),
  batchImages: whole(1, 1024).optional().describe('Maximum images per batch. Default: 4 on the CPU, 16 on CUDA.'),
  batchPixels: whole(1024, 2 ** 31 - 1)
    .optional()
    .describe('Maximum pixels per batch; a single larger image runs alone. Default: batchImages of 224 x 224.'),
  maxQueueDelayMs: whole(0, 60_000)
    .default(defaults.maxQueueDelayMs)
    .describe('Maximum milliseconds that a batch that is not full waits for more images while a worker is idle.'),
};

const shutdown = {
  drainDelayMs: whole(0, 600_000)
    .default(0)
    .describe(
      'Milliseconds for which calls are still accepted after NOT_SERVING at a shutdown, so that load balancers can redirect them.',
    ),
  drainMs: whole(0, 3_600_000)
    .default(25_000)
    .describe(
      'Maximum milliseconds for running calls to finish at a shutdown, after drainDelayMs. Then they are ended.',
    ),
};

const logging = {
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .describe(
      'Lowest severity that is logged. debug also logs every successful call and every failed one; the other levels log ten failures of a kind per second and count the rest.',
    ),
};

/** The keys by group, as in --help and the docs. */
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
      problem(
        'responseBytes',
        'is less than maxResponseBytes or maxChunkedBytes, so the largest response could never be sent',
      );
    }
    if (requestBytes !== undefined && requestBytes < maxMessageBytes) {
      problem(
        'requestBytes',
        `is less than maxMessageBytes (${maxMessageBytes}), so the largest request could never be accepted`,
      );
    }
    const { decodeConcurrency, decodeProcesses = 0 } = config;
    if (decodeProcesses > 0 && decodeConcurrency !== undefined && decodeConcurrency > decodeProcesses) {
      problem(
        'decodeConcurrency',
        `is more than decodeProcesses (${decodeProcesses}); each process decodes one image at a time`,
      );
    }
    for (const size of config.inputSizes ?? []) {
      const { width, height } = readInputSize(size);
      if (width * height > config.inputPixels) {
        problem('inputSizes', `${size} exceeds inputPixels (${config.inputPixels}), so it could never be used`);
      }
    }
    for (const [i, key] of listenerKeys.entries()) {
      const other = listenerKeys.slice(0, i).find((each) => collide(config[key], config[each]));
      if (other !== undefined) {
        problem(
          key,
          `cannot be bound beside ${other} (${config[other]}); give each listener a port of its own, or off`,
        );
      }
    }
    for (const { key, message } of securityProblems(config)) problem(key, message);
  });

/** A valid configuration with its defaults. */
export type ServeConfig = z.output<typeof serveConfigSchema>;
