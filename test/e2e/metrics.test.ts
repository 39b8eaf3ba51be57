import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { type Client, createClient } from '../../src/client/index.js';
import { EngineError, type ImageBatch } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { loadVicreglService } from '../../src/proto/load.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer } from '../../src/serve/server.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { skipWithout } from '../support/prometheusProgram.js';
import { tinyManifest } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';

/** Observability of calls: metrics in Prometheus' conventions, log lines, and trailing metadata with a request id. */

const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(9) };

interface Line {
  readonly msg: string;
  readonly requestId?: string;
  readonly method?: string;
  readonly code?: string;
  readonly err?: { readonly message: string };
  readonly peer?: string;
  readonly phasesMs?: Record<string, number>;
}

/** An image that makes the engine fail. */
const poisoned = { ...image, rgb: new Uint8Array(image.rgb.length).fill(66) };
const failWith = ({ data }: ImageBatch) =>
  data.includes(66) ? new EngineError('internal', 'no such kernel') : undefined;

async function all(answers: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of answers);
}

describe('a served call', () => {
  const lines: Line[] = [];
  let server: Awaited<ReturnType<typeof createServer>>;
  let scrape: () => Promise<string>;

  before(async () => {
    const logger = createLogger('debug', { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
    server = await createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} }, failWith }) }],
      ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', logger },
    });
    scrape = async () => (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    const client = createClient({ address: server.address });
    await client.embed(image);
    await client.match(image, image);
    const { featureRef } = await client.storeFeatures(image);
    await client.match({ featureRef }, { featureRef });
    await assert.rejects(client.match({ featureRef: 'none' }, image));
    await assert.rejects(client.embed(image, { model: 'none' }));
    await client.close();
  });
  after(() => server.close());

  /** One GetModel with metadata. @returns the trailing metadata */
  function ask(id: string | undefined, model = ''): Promise<Metadata> {
    const Client = loadVicreglService();
    const client = new Client(server.address, credentials.createInsecure());
    const metadata = new Metadata();
    if (id !== undefined) metadata.set('x-request-id', id);
    return new Promise((resolve) => {
      let failed: ServiceError | null = null;
      client
        .getModel({ model }, metadata, (error) => {
          failed = error;
        })
        .on('status', (status) => {
          client.close();
          assert.equal(failed === null, model === '');
          resolve(status.metadata);
        });
    });
  }

  test('has a request id, from the client or generated, in its log line and trailing metadata', async () => {
    for (const [id, model] of [
      ['4bf92f3577b34da6a3ce929d0e0e4736', ''],
      ['orders/17:retry=2', 'none'],
    ] as const) {
      assert.deepEqual((await ask(id, model)).get('x-request-id'), [id]);
      const line = lines.find(({ requestId }) => requestId === id)!;
      assert.deepEqual([line.method, line.code], ['GetModel', model === '' ? 'OK' : 'NOT_FOUND']);
      assert.match(line.peer!, /^127\.0\.0\.1:\d+$/);
    }
    for (const unfit of [undefined, 'a b', 'x'.repeat(129), '{"a":1}']) {
      const [made] = (await ask(unfit)).get('x-request-id');
      assert.match(String(made), /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/, unfit);
      assert.ok(lines.some(({ requestId }) => requestId === made));
    }
  });

  test('logs its phases', () => {
    const embedded = lines.find(({ method, code }) => method === 'Embed' && code === 'OK')!;
    for (const phase of ['wait', 'decode', 'queue', 'inference', 'encode']) {
      assert.equal(typeof embedded.phasesMs?.[phase], 'number', phase);
    }
  });

  test('logs the failed items of a batch or stream although the call succeeds', async () => {
    const client = createClient({ address: server.address });
    const results = [...(await client.embedBatch([image, poisoned]))];
    for await (const answer of client.embedStream([{ id: 'a', image: poisoned }])) results.push(answer);
    await client.close();
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    );
    const failed = lines.filter(({ msg }) => msg === 'an item failed');
    assert.deepEqual(
      failed.map(({ method, code, err }) => [method, code, err?.message]),
      ['EmbedBatch', 'EmbedStream'].map((method) => [method, 'INTERNAL', 'no such kernel']),
    );
    for (const { requestId } of failed) assert.ok(requestId);
  });

  test('is counted in every metric', async () => {
    const metrics = await scrape();
    const value = (line: string) =>
      Number(
        metrics
          .split('\n')
          .find((found) => found.startsWith(`${line} `))
          ?.split(' ')[1],
      );
    assert.equal(value('vicregl_requests_total{method="Embed",code="OK"}'), 1);
    assert.equal(value('vicregl_requests_total{method="Embed",code="NOT_FOUND"}'), 1);
    assert.equal(value('vicregl_requests_rejected_total{method="Embed",reason="UNKNOWN_MODEL"}'), 1);
    assert.equal(value('vicregl_items_total{method="EmbedBatch",code="OK"}'), 1);
    // Alerts subtract these: their series begin before their first event.
    for (const reason of ['CONNECTION_BROKEN', 'CONNECTION_AGED']) {
      assert.equal(value(`vicregl_requests_rejected_total{method="Embed",reason="${reason}"}`), 0);
      assert.equal(value(`vicregl_items_rejected_total{method="EmbedStream",reason="${reason}"}`), 0);
    }
    for (const method of ['EmbedBatch', 'EmbedStream']) {
      assert.equal(value(`vicregl_items_total{method="${method}",code="INTERNAL"}`), 1, method);
    }
    assert.ok(value('vicregl_received_bytes_total{method="Embed"}') > 2 * image.rgb.byteLength);
    assert.ok(value('vicregl_sent_bytes_total{method="Embed"}') >= 16 * 4);
    assert.ok(value('vicregl_batch_images_sum') >= 4);
    assert.equal(value('vicregl_stored_features'), 1);
    assert.ok(value('vicregl_stored_features_bytes') > 0);
    assert.equal(value('vicregl_stored_features_hits_total'), 2);
    // The first StoreFeatures checks whether the features are stored already.
    assert.equal(value('vicregl_stored_features_misses_total'), 2);
    assert.equal(value('vicregl_stored_features_evictions_total'), 0);
    assert.equal(value('vicregl_stored_features_expirations_total'), 0);
    assert.equal(value('vicregl_requests_in_flight{method="Embed"}'), 0);
    assert.equal(value('vicregl_ready'), 1);
    for (const held of ['request', 'response']) assert.equal(value(`vicregl_held_${held}_bytes`), 0, held);
    const model = 'name="tiny",version="1"';
    assert.equal(value(`vicregl_queue_images{${model}}`), 0);
    for (const reason of ['died', 'hung', 'broken']) {
      assert.equal(value(`vicregl_worker_restarts_total{${model},device="cpu",reason="${reason}"}`), 0, reason);
    }
    assert.ok(value(`vicregl_workers{${model},device="cpu",state="idle"}`) >= 0);
    for (const name of ['p50', 'p99', 'max']) assert.ok(value(`vicregl_event_loop_lag_${name}_seconds`) >= 0, name);
    assert.ok(value('process_resident_memory_bytes') > 1e6);
  });

  test('promtool accepts the names and help texts of the metrics', {
    skip: skipWithout('promtool'),
  }, async () => {
    const check = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
    check.stdin.end(await scrape());
    const [out, errors] = await Promise.all([text(check.stdout), text(check.stderr)]);
    assert.equal(out + errors, '');
    assert.equal(check.exitCode ?? 0, 0);
  });
});

describe('the histogram of phases', () => {
  const perImage = (images: number) => ({ decode: images, queue: images, inference: images });
  /** Calls to a new server, each with its expected count in every phase. */
  const calls: Record<string, [(client: Client) => Promise<unknown>, Record<string, number>]> = {
    Embed: [(client) => client.embed(image), { receive: 1, wait: 1, ...perImage(1), encode: 1 }],
    ExtractFeatures: [
      (client) => client.features(image, { pooling: [{ box: { left: 0, top: 0, right: 56, bottom: 56 } }] }),
      { receive: 1, wait: 1, ...perImage(1), encode: 1 },
    ],
    ExtractFeaturesChunked: [
      (client) => client.features(image, { chunked: true }),
      { receive: 1, wait: 1, ...perImage(1), encode: 1 },
    ],
    Match: [(client) => client.match(image, image), { receive: 1, wait: 1, ...perImage(2), match: 1, encode: 1 }],
    MatchMany: [
      (client) => client.matchMany(image, [image, image]),
      { receive: 1, wait: 1, ...perImage(3), match: 2, encode: 1 },
    ],
    EmbedBatch: [(client) => client.embedBatch([image, image]), { receive: 1, wait: 1, ...perImage(2), encode: 1 }],
    EmbedStream: [
      (client) => all(client.embedStream([0, 1, 2].map((i) => ({ id: String(i), image })))),
      { receive: 3, wait: 3, ...perImage(3), encode: 3 },
    ],
  };

  test('counts image phases once per image, and other phases once per message', async () => {
    const server = await createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
      ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', logger: createLogger('silent') },
    });
    const client = createClient({ address: server.address });
    try {
      for (const [make] of Object.values(calls)) await make(client);
      const metrics = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
      for (const [method, [, expected]] of Object.entries(calls)) {
        const count = new RegExp(
          `^vicregl_phase_duration_seconds_count\\{method="${method}",phase="(\\w+)"\\} (\\d+)$`,
          'gm',
        );
        const found = [...metrics.matchAll(count)].map(([, phase, times]) => [phase, Number(times)]);
        assert.deepEqual(Object.fromEntries(found), expected, method);
      }
    } finally {
      await client.close();
      await server.close();
    }
  });
});

describe('rejected items', () => {
  let held: ReturnType<typeof createHeldEngine>;
  let server: Awaited<ReturnType<typeof createServer>>;
  let client: Client;
  const metricsHave = (line: string) =>
    untilMetric(server.metricsAddress!, new RegExp(`^${line.replace(/[{}]/g, '\\$&')}$`, 'm'));

  beforeEach(async () => {
    held = createHeldEngine();
    server = await createServer({
      models: [{ engine: held.engine }],
      limits: { ...defaultServeLimits, queueImages: 2 },
      ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', logger: createLogger('silent') },
    });
    client = createClient({ address: server.address });
  });
  afterEach(async () => {
    held.free();
    await client.close();
    await server.close();
  });

  test('are counted with their reason although the call succeeds', async () => {
    const running = held.nextRun();
    const first = client.embed(image);
    await running;
    const batch = client.embedBatch([image, image, image, image]);
    await metricsHave('vicregl_items_rejected_total{method="EmbedBatch",reason="OVERLOADED"} 2');
    held.free();
    await Promise.all([first, batch]);
    await metricsHave('vicregl_items_total{method="EmbedBatch",code="OK"} 2');
    await metricsHave('vicregl_requests_total{method="EmbedBatch",code="OK"} 1');
  });

  test('are counted as dropped if their deadline expires in the queue, but not if their run had started', async () => {
    const running = held.nextRun();
    const first = assert.rejects(client.embed(image, { deadlineMs: 4000 }), { code: 'DEADLINE_EXCEEDED' });
    await running;
    const waiting = client.embedStream([{ id: 'a', image }], { deadlineMs: 2000 });
    await assert.rejects(all(waiting), { code: 'DEADLINE_EXCEEDED' });
    await first;
    await metricsHave('vicregl_item_deadline_drops_total{method="EmbedStream"} 1');
    await metricsHave('vicregl_items_rejected_total{method="EmbedStream",reason="DEADLINE_EXCEEDED"} 1');
    await metricsHave('vicregl_requests_rejected_total{method="Embed",reason="DEADLINE_EXCEEDED"} 1');
    const metrics = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    assert.doesNotMatch(metrics, /^vicregl_deadline_drops_total\{method="Embed"\}/m);
  });
});
