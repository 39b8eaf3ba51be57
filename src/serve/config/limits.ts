import { enoughPipelinePixels } from '../../image/resize.js';
import { readInputSize } from './fields.js';
import type { ServeConfig } from './schema.js';
import { defaultServeLimits, type ServeLimits } from './serveLimits.js';

/** The limits of a configuration. The build fails for a new limit without a key in the schema. */
export function limitsOf(config: ServeConfig): ServeLimits {
  const { decodeProcesses, decodeConcurrency = decodeProcesses || defaultServeLimits.decodeConcurrency } = config;
  return {
    maxMessageBytes: config.maxMessageBytes,
    metadataBytes: config.metadataBytes,
    messageEntries:
      config.messageEntries ??
      Math.max(
        defaultServeLimits.messageEntries,
        2 * Math.max(config.namedCells, config.poolingRegions, config.batchRequests, config.matchTargets),
      ),
    // At least two messages of the maximum size.
    requestBytes: config.requestBytes ?? Math.max(defaultServeLimits.requestBytes, 2 * config.maxMessageBytes),
    responseBytes:
      config.responseBytes ??
      Math.max(defaultServeLimits.responseBytes, 2 * config.maxResponseBytes, 2 * config.maxChunkedBytes),
    maxChunkedBytes: config.maxChunkedBytes,
    receiveSeconds: config.receiveSeconds,
    httpDeadlineSeconds: config.httpDeadlineSeconds,
    keepaliveSeconds: config.keepaliveSeconds,
    keepaliveTimeoutSeconds: config.keepaliveTimeoutSeconds,
    connectionAgeSeconds: config.connectionAgeSeconds,
    connectionAgeGraceSeconds: config.connectionAgeGraceSeconds,
    readSeconds: config.readSeconds,
    streamItems: config.streamItems,
    batchRequests: config.batchRequests,
    poolingRegions: config.poolingRegions,
    maskPixels: config.maskPixels,
    namedCells: config.namedCells,
    pcaComponents: config.pcaComponents,
    maxReduceProducts: config.maxReduceProducts,
    queueReductions: config.queueReductions,
    mapBytes: config.mapBytes,
    callsPerConnection: config.callsPerConnection,
    maxResponseBytes: config.maxResponseBytes,
    image: { imageBytes: config.imageBytes, imagePixels: config.imagePixels, decodeSeconds: config.decodeSeconds },
    output: {
      inputPixels: config.inputPixels,
      pipelinePixels: config.pipelinePixels ?? enoughPipelinePixels(config.imagePixels, config.inputPixels),
      ...(config.inputSizes && { inputSizes: config.inputSizes.map(readInputSize) }),
    },
    maxMatchProducts: config.maxMatchProducts,
    maxLocationPairs: config.maxLocationPairs,
    maxHomographyTests: config.maxHomographyTests,
    matchTargets: config.matchTargets,
    storedFeaturesBytes: config.storedFeaturesBytes,
    storedFeatures: config.storedFeatures,
    storedFeaturesTtl: config.storedFeaturesTtl,
    queueMatches: config.queueMatches,
    decodeConcurrency,
    decodeProcesses: decodeProcesses ?? decodeConcurrency,
    tilesPerImage: config.tilesPerImage,
    queueImages: config.queueImages,
    queueBytes: config.queueBytes,
    batchImages: config.batchImages,
    batchPixels: config.batchPixels,
    maxQueueDelayMs: config.maxQueueDelayMs,
  };
}
