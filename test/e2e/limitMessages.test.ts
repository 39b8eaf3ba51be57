import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { describe, type TestContext, test } from 'node:test';
import { type Client, createClient } from '../../src/client/index.js';
import { startClock } from '../../src/image/workClock.js';
import { serviceName } from '../../src/proto/load.js';
import { createAdmission } from '../../src/serve/admission/admission.js';
import { toStatus } from '../../src/serve/call/errors.js';
import { limitsOf } from '../../src/serve/config/limits.js';
import { resolveConfig } from '../../src/serve/config/resolve.js';
import type { keyGroups } from '../../src/serve/config/schema.js';
import type { ServeLimits } from '../../src/serve/config/serveLimits.js';
import { createAuthenticator } from '../../src/serve/operations/auth/bearer.js';
import { createTokenStore, hashToken } from '../../src/serve/operations/auth/tokenStore.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer } from '../../src/serve/server.js';
import { createHeldEngine } from '../support/heldEngine.js';

/**
 * Whatever a configured limit rejects, the message names the configuration key, the value of the limit, what the caller asked for,
 * and a way out. The table below has every key of the group Limits; the build fails for a new key without an entry.
 */

/** A service with one limit that is small, and a caller that exceeds it. */
interface Started {
  readonly address: string;
  readonly client: Client;
  readonly limits: ServeLimits;
  /** Lets the runs of the engine end. The first one waits for it. */
  free(): void;
}

interface Refusal {
  readonly config: Readonly<Record<string, number | readonly string[]>>;
  /** Rejects, or throws, with the error of the limit. */
  readonly exceed: (started: Started) => unknown;
  /** What the caller asked for, and the way out, as the message says them. */
  readonly says: RegExp;
}

/** Why nothing is rejected because of a limit. */
type NoRefusal = `none: ${string}`;

type LimitKey = keyof (typeof keyGroups)['Limits'] | 'inputSizes' | 'requestsPerSecond';

const square = (side: number) => ({ width: side, height: side, rgb: new Uint8Array(side * side * 3).fill(7) });
/** 8 x 8 cells of the model's stride 8, without resizing. */
const image = { pixels: square(64), resize: { kind: 'native' } } as const;
const box = { box: { left: 0, top: 0, right: 64, bottom: 64 } };
const never = () => new Promise<never>(() => {});
const waiting = { signal: new AbortController().signal, observe: () => {} };

/** Fills a gate with work that does not end, and its queue, then asks once more. */
async function overfill(limits: ServeLimits, gate: 'matching' | 'reducing', queue: number): Promise<void> {
  const { [gate]: full } = createAdmission(limits, []);
  void full.run(waiting, never);
  await new Promise(setImmediate);
  for (let i = 0; i < queue; i++) void full.run(waiting, never);
  await full.run(waiting, never);
}

/** Takes all bytes of a budget, then seven more. */
function overspend(limits: ServeLimits, name: 'responseBytes' | 'mapBytes'): void {
  const { [name]: budget } = createAdmission(limits, []);
  budget.tryAcquire(limits[name]);
  budget.tryAcquire(7);
}

/** Begins a call and sends a part of its message. Rejects with the status of the call. */
function halfMessage(address: string): Promise<never> {
  const session = connectHttp2(`http://${address}`);
  return new Promise<never>((_, reject) => {
    session.on('error', reject);
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${serviceName}/Embed`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', reject);
    stream.on('response', (headers) => reject(new Error(decodeURI(String(headers['grpc-message'])))));
    stream.write(Buffer.from([0, 0, 0, 3, 0xe8, 1]));
  }).finally(() => session.destroy());
}

const table: Readonly<Record<LimitKey, Refusal | readonly Refusal[] | NoRefusal>> = {
  maxMessageBytes: {
    config: { maxMessageBytes: 1024 },
    exceed: ({ client }) => client.embed(image),
    says: /\(12\d{3} vs 1024\).*; send smaller images/,
  },
  metadataBytes: {
    config: { metadataBytes: 1024 },
    exceed: ({ address }) => {
      const client = createClient({ address, token: 'a'.repeat(2000) });
      return client.model().finally(() => client.close());
    },
    says: /has 2\d{3} bytes.*; send less metadata/,
  },
  messageEntries: {
    config: { messageEntries: 1024 },
    exceed: ({ client }) => client.features(image, { cells: new Array(1100).fill({ row: 0, column: 0 }) }),
    // Counting stops at the limit.
    says: /more than 1024 entries.*; send them in several calls/,
  },
  requestBytes: {
    config: { maxMessageBytes: 20_000, requestBytes: 20_000 },
    exceed: ({ client, free }) => Promise.all([client.embed(image), client.embed(image)]).finally(free),
    says: /requests in progress hold 12\d{3} bytes, and 12\d{3} more would exceed .*; try again later/,
  },
  callsPerConnection: 'none: further calls wait in the client',
  maxResponseBytes: [
    {
      config: { maxResponseBytes: 65_536 },
      exceed: ({ client, free }) => {
        free();
        return client.features({ ...image, pixels: square(264) });
      },
      says: /are 69696 bytes,.*; ask for dtype float16 or int8, or/,
    },
    {
      // The features fit exactly, and the message around them does not.
      config: { maxResponseBytes: 65_536 },
      exceed: ({ client, free }) => {
        free();
        return client.features({ ...image, pixels: square(256) });
      },
      says: /the response has 65\d{3} bytes,.*; ask for/,
    },
    {
      config: { maxResponseBytes: 65_536 },
      exceed: async ({ client, free }) => {
        free();
        const large = { ...image, pixels: square(200) };
        const [, second] = await client.featuresBatch([large, large]);
        if (second?.status === 'rejected') throw second.reason;
      },
      says: /are 40000 bytes, over the 25536 bytes that the requests before leave of .*; ask for .*ExtractFeaturesStream$/,
    },
  ],
  maxChunkedBytes: {
    config: { maxChunkedBytes: 65_536 },
    exceed: ({ client }) => client.features({ ...image, pixels: square(264) }, { chunked: true }),
    says: /are 69696 bytes,.*; ask for/,
  },
  responseBytes: {
    config: { responseBytes: 65_536, maxResponseBytes: 65_536, maxChunkedBytes: 65_536 },
    exceed: ({ limits }) => overspend(limits, 'responseBytes'),
    says: /hold 65536 bytes, and 7 more.*; try again later/,
  },
  receiveSeconds: {
    config: { receiveSeconds: 1 },
    exceed: ({ address }) => halfMessage(address),
    says: /did not arrive in 1 s.*; send less at a time/,
  },
  httpDeadlineSeconds: 'none: over HTTP alone; http.test.ts checks its message',
  keepaliveSeconds: 'none: pings are sent',
  keepaliveTimeoutSeconds: 'none: the connection is closed, and nothing can be sent on it',
  connectionAgeSeconds: 'none: the client opens another connection',
  connectionAgeGraceSeconds: 'none: the connection is closed, and nothing can be sent on it',
  readSeconds: 'none: the stream is reset, since a status would not be read either; the log names the key',
  streamItems: 'none: the service does not read the next item',
  batchRequests: {
    config: { batchRequests: 2 },
    exceed: ({ client }) => client.embedBatch([image, image, image]),
    says: /^requests: 3 are.*; send several requests/,
  },
  imageBytes: {
    config: { imageBytes: 1024 },
    exceed: ({ client }) => client.embed(image),
    says: /^image: image of 12288 bytes.*; send a smaller/,
  },
  imagePixels: {
    config: { imagePixels: 1024 },
    exceed: ({ client }) => client.embed(image),
    says: /64 x 64 = 4096 pixels.*; send a smaller one/,
  },
  inputPixels: {
    config: { inputPixels: 1024 },
    exceed: ({ client }) => client.embed(image),
    says: /64 x 64 = 4096 pixels.*; choose a smaller size/,
  },
  pipelinePixels: {
    config: { pipelinePixels: 1024 },
    exceed: ({ client }) => client.embed({ pixels: square(64), resize: { kind: 'fit', width: 56, height: 56 } }),
    says: /would write \d{4,} pixels.*; send a smaller image/,
  },
  maxMatchProducts: {
    config: { maxMatchProducts: 1000 },
    exceed: ({ client }) => client.match(image, image),
    says: /takes 49152 products,.*; ask for smaller sizes/,
  },
  maxLocationPairs: {
    config: { maxLocationPairs: 1000 },
    exceed: ({ client }) => {
      const crop = { crop: { left: 0, top: 0, width: 64, height: 64 } };
      return client.match(crop, crop, { by: 'location' });
    },
    says: /compares 2401 pairs,.*; ask for smaller sizes/,
  },
  maxHomographyTests: {
    config: { maxHomographyTests: 1000 },
    exceed: ({ client }) => client.match(image, image, { homography: { maxIterations: 100 } }),
    says: /are 2000 tests,.*; ask for fewer pairs .* max_iterations of at most 50/,
  },
  matchTargets: {
    config: { matchTargets: 2 },
    exceed: ({ client }) => client.matchMany(image, [image, image, image]),
    says: /^targets: 3 are.*; send more in further calls/,
  },
  storedFeaturesBytes: {
    config: { storedFeaturesBytes: 100 },
    exceed: ({ client }) => client.storeFeatures(image),
    says: /3072 bytes cannot be stored:.*; ask for a smaller size/,
  },
  storedFeatures: 'none: the least recently used features are evicted',
  storedFeaturesTtl: {
    config: { storedFeaturesTtl: 60 },
    exceed: ({ client }) => client.storeFeatures(image, { ttlSeconds: 61 }),
    says: /^ttl_seconds: 61 is outside 1 to 60/,
  },
  queueMatches: {
    config: { queueMatches: 2 },
    exceed: ({ limits }) => overfill(limits, 'matching', limits.queueMatches),
    says: /2 matches wait.*; try again later/,
  },
  poolingRegions: {
    config: { poolingRegions: 2 },
    exceed: ({ client }) => client.features(image, { pooling: [box, box, box] }),
    says: /^pooling\.regions: 3 are.*; send several requests/,
  },
  maskPixels: {
    config: { maskPixels: 1024 },
    exceed: ({ client }) => {
      const bitmap = { width: 64, height: 64, data: new Uint8Array(4096).fill(1) };
      return client.features(image, { pooling: [{ bitmap }] });
    },
    says: /the masks are 4096 pixels.*; send run lengths/,
  },
  namedCells: {
    config: { namedCells: 2 },
    exceed: ({ client }) => client.features(image, { cells: new Array(3).fill({ row: 0, column: 0 }) }),
    says: /^cells\.cells: 3 are.*; send several requests/,
  },
  pcaComponents: {
    config: { pcaComponents: 2 },
    exceed: ({ client }) => client.features(image, { pca: { components: 3 } }),
    says: /^pca\.components: 3 must be 1 to 2/,
  },
  maxReduceProducts: [
    {
      config: { maxReduceProducts: 1000 },
      exceed: ({ client }) => client.features(image, { pca: { components: 3 } }),
      says: /^pca: .* are 5120 products,.*; ask for fewer components/,
    },
    {
      config: { maxReduceProducts: 1000 },
      exceed: ({ client }) => client.features(image, { pooling: [box] }),
      says: /^pooling: .* are 1024 products or more,.*; send fewer regions/,
    },
  ],
  queueReductions: {
    config: { queueReductions: 2 },
    exceed: ({ limits }) => overfill(limits, 'reducing', limits.queueReductions),
    says: /2 poolings and PCAs wait.*; try again later/,
  },
  mapBytes: [
    {
      config: { mapBytes: 1024 },
      exceed: ({ limits }) => overspend(limits, 'mapBytes'),
      says: /hold 1024 bytes, and 7 more.*; try again later/,
    },
    {
      config: { mapBytes: 4096 },
      exceed: ({ client }) => client.features(image, { upsample: 3 }),
      says: /^upsample: maps with 24 x 24 cells of 16 channels are 40960 bytes.*; ask for a smaller size of upsample, or a region/,
    },
  ],
  tilesPerImage: [
    {
      config: { tilesPerImage: 2 },
      exceed: ({ client }) => client.features(image, { tiles: { width: 32, overlap: 8 } }),
      says: /^tiles: an image of 64 x 64 pixels in windows of 32 x 32 with an overlap of 8 has 9 tiles.*; ask for larger windows/,
    },
    {
      config: { tilesPerImage: 2 },
      exceed: ({ client }) =>
        client.features(
          { ...image, resize: { kind: 'fit', width: 96, height: 32 } },
          { tiles: { width: 32, overlap: 0 } },
        ),
      says: /an image of 96 x 32 pixels .* has 3 tiles/,
    },
  ],
  decodeConcurrency: 'none: further images wait; queueImages bounds them',
  decodeProcesses: 'none: further images wait',
  decodeSeconds: {
    config: { decodeSeconds: 1 },
    // Nothing small takes a second: decoding in processes has a test of its own (test/failure/decodeProcesses.test.ts).
    exceed: ({ limits }) => Promise.reject(startClock(limits.image.decodeSeconds).late()),
    says: /longer than 1 s.*; send a smaller one/,
  },
  queueImages: {
    config: { queueImages: 2 },
    exceed: ({ client, free }) => Promise.all(Array.from({ length: 4 }, () => client.embed(image))).finally(free),
    says: /2 images wait, 0 are being decoded.*; try again later|1 images wait, 1 are being decoded.*; try again later|0 images wait, 2 are being decoded.*; try again later/,
  },
  queueBytes: {
    config: { queueBytes: 1024 },
    exceed: ({ client }) => client.embed(image),
    says: /and this image has 12288; ask for a smaller size/,
  },
  batchImages: 'none: the batch is not made larger',
  batchPixels: 'none: the batch is not made larger',
  maxQueueDelayMs: 'none: the batch is dispatched',
  inputSizes: {
    config: { inputSizes: ['32x32'] },
    exceed: ({ client }) => client.embed(image),
    says: /64x64 is not one of.*; choose 56x56 or 32x32/,
  },
  requestsPerSecond: {
    config: { requestsPerSecond: 2, burst: 1 },
    exceed: () => {
      const token = { name: 'holder', sha256: hashToken('secret').toString('hex'), admin: false };
      const store = createTokenStore([token], { requestsPerSecond: 2, burst: 1 });
      const authenticate = createAuthenticator({ store, openHealth: true });
      for (let i = 0; i < 2; i++) authenticate(`/${serviceName}/Embed`, 'Bearer secret', () => {});
    },
    says: /holder may make 2 calls per second.*; try again in/,
  },
};

async function start(t: TestContext, content: Refusal['config']): Promise<Started> {
  const { requestsPerSecond: _, burst: __, ...others } = content;
  const limits = limitsOf(resolveConfig({ flags: {}, env: {}, file: { path: 'test', content: others } }).config);
  const { engine, free } = createHeldEngine();
  const server = await createServer({
    models: [{ engine }],
    ...{ address: '127.0.0.1:0', metricsAddress: 'off', logger: createLogger('silent') },
    limits,
  });
  const client = createClient({ address: server.address });
  t.after(async () => {
    free();
    await client.close();
    await server.close(true);
  });
  return { address: server.address, client, limits, free };
}

describe('the message of an exceeded limit names its key, its value, what was asked for and a way out', () => {
  for (const [key, entry] of Object.entries(table)) {
    if (typeof entry === 'string') continue;
    for (const [i, { config, exceed, says }] of [entry].flat().entries()) {
      test(`${key}${i > 0 ? `, case ${i + 1}` : ''}`, async (t) => {
        const started = await start(t, config);
        let failure: unknown;
        try {
          await exceed(started);
          assert.fail('nothing was rejected');
        } catch (error) {
          failure = error;
        }
        assert.ok(failure instanceof Error && !(failure instanceof assert.AssertionError), String(failure));
        // What a client reads of an error that is thrown here, without a call.
        const message =
          failure.name === 'VicreglError' || failure.name === 'Error' ? failure.message : toStatus(failure).details;
        assert.match(message, new RegExp(`\\b${key}\\b`));
        const value = config[key];
        if (typeof value === 'number') assert.match(message, new RegExp(`\\b${value}\\b`));
        assert.match(message, says);
      });
    }
  }
});
