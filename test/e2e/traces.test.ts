import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:http2';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { credentials, Metadata } from '@grpc/grpc-js';
import { context, propagation, trace } from '@opentelemetry/api';
import { type Client, createClient } from '../../src/client/index.js';
import { EngineError, type ImageBatch } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { inferenceServiceName, loadInferenceService, loadVicreglService, serviceName } from '../../src/proto/load.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer, type RunningServer, type ServerOptions } from '../../src/serve/server.js';
import { openTracing } from '../../src/serve/tracing/openTracing.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { type CollectedSpan, type OtlpCollector, startOtlpCollector } from '../support/otlpCollector.js';
import { rawCall } from '../support/rawCall.js';
import { tinyManifest } from '../support/tinyModel.js';
import { until } from '../support/until.js';

/** Traces as a collector receives them that is made of OTLP's public contract, and what of them is in logs and metrics. */

const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(9) };
const manifest = { ...tinyManifest, files: {} };
/** An image that makes the engine fail. */
const poisoned = { ...image, rgb: new Uint8Array(image.rgb.length).fill(66) };
const failWith = ({ data }: ImageBatch) =>
  data.includes(66) ? new EngineError('internal', 'no such kernel') : undefined;

const phases = ['receive', 'wait', 'decode', 'queue', 'inference', 'match', 'encode'];

interface Line {
  readonly msg: string;
  readonly method?: string;
  readonly requestId?: string;
  readonly trace_id?: string;
  readonly span_id?: string;
  readonly trace_flags?: string;
}

/** Sets variables of the environment, which the exporters read. @returns restores them */
function withEnv(variables: Readonly<Record<string, string>>): () => void {
  const old = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  Object.assign(process.env, variables);
  return () => {
    for (const [name, value] of Object.entries(old)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

/** A traced service, its log, and calls of it with any metadata. */
async function start(variables: Readonly<Record<string, string>>, options: Partial<ServerOptions> = {}) {
  const lines: Line[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  const restore = withEnv({ OTEL_BSP_SCHEDULE_DELAY: '10', ...variables });
  const tracing = await openTracing(process.env, logger, '1.2.3');
  restore();
  const server = await createServer({
    models: [{ engine: createFakeEngine({ manifest, failWith }) }],
    ...{ address: '127.0.0.1:0', httpAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', logger, tracing },
    ...options,
  });
  return { server, lines, tracing };
}

const metricsOf = async ({ metricsAddress }: RunningServer, accept = '*/*'): Promise<string> =>
  (await fetch(`http://${metricsAddress}/metrics`, { headers: { accept } })).text();

/** One Embed with metadata. @returns the trailing metadata */
function embedWith(server: RunningServer, entries: readonly (readonly [string, string])[]): Promise<Metadata> {
  const Service = loadVicreglService();
  const client = new Service(server.address, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of entries) metadata.add(name, value);
  return new Promise((resolve, reject) => {
    client
      .embed(
        { image: { raw: { width: 56, height: 56, rgb: Buffer.from(image.rgb) } } } as never,
        metadata,
        (error: unknown) => {
          client.close();
          if (error) reject(error);
        },
      )
      .on('status', ({ metadata: trailing }: { metadata: Metadata }) => resolve(trailing));
  });
}

/** A new trace of a caller. */
function caller(flags = '01') {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` };
}

const isWithin = (inner: CollectedSpan, outer: CollectedSpan): boolean =>
  outer.start <= inner.start && inner.start <= inner.end && inner.end <= outer.end;

test('without the variables of OpenTelemetry calls are not traced, and its SDK is not loaded', async () => {
  const logger = createLogger('debug', { write: (line: string) => assert.fail(line) });
  assert.equal(await openTracing({}, logger, '1'), undefined);
  const sdk = Object.keys(createRequire(import.meta.url).cache).filter((path) =>
    /@opentelemetry\/(sdk|exporter|otlp)/.test(path),
  );
  assert.deepEqual(sdk, []);
});

describe('a traced service', () => {
  let collector: OtlpCollector;
  let server: RunningServer;
  let lines: Line[];
  let client: Client;

  before(async () => {
    collector = await startOtlpCollector();
    ({ server, lines } = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.grpc,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=other',
      OTEL_SERVICE_NAME: 'features',
    }));
    client = createClient({ address: server.address });
  });
  after(async () => {
    await client.close();
    await server.close();
    await collector.close();
  });

  const spansOf = (traceId: string): CollectedSpan[] => collector.spans.filter((span) => span.traceId === traceId);

  /** The server span of a trace, when it has arrived, and its other spans. */
  async function traceOf(traceId: string): Promise<{ root: CollectedSpan; others: CollectedSpan[] }> {
    // The server span ends last.
    await until(() => spansOf(traceId).some(({ kind }) => kind === 2));
    const [root, ...more] = spansOf(traceId).filter(({ kind }) => kind === 2);
    assert.equal(more.length, 0);
    return { root: root!, others: spansOf(traceId).filter(({ kind }) => kind !== 2) };
  }

  test('a gRPC call continues the trace of its caller; its phases are children within its time', async () => {
    const { traceId, spanId, traceparent } = caller();
    const trailing = await embedWith(server, [
      ['traceparent', traceparent],
      ['tracestate', 'vendor=1'],
      ['tracestate', 'other=2'],
    ]);
    const { root, others } = await traceOf(traceId);
    assert.equal(root.parentSpanId, spanId);
    assert.equal(root.traceState, 'vendor=1,other=2');
    assert.equal(root.name, `${serviceName}/Embed`);
    assert.equal(root.status, 0);
    const [host, port] = server.address.split(':');
    const { attributes } = root;
    assert.deepEqual(
      [
        'rpc.system.name',
        'rpc.method',
        'rpc.response.status_code',
        'server.address',
        'server.port',
        'client.address',
      ].map((name) => attributes[name]),
      ['grpc', `${serviceName}/Embed`, 'OK', host, Number(port), '127.0.0.1'],
    );
    assert.equal(attributes['vicregl.request_id'], trailing.get('x-request-id')[0]);
    assert.equal(attributes['error.type'], undefined);
    assert.deepEqual(root.resource['service.name'], 'features');
    assert.deepEqual(root.resource['service.version'], '1.2.3');
    assert.deepEqual(root.resource['deployment.environment.name'], 'test');

    assert.deepEqual(
      new Set(others.map(({ name }) => name)),
      new Set(['receive', 'wait', 'decode', 'queue', 'run', 'inference', 'encode']),
    );
    for (const span of others) {
      assert.equal(span.parentSpanId, root.spanId, span.name);
      assert.ok(isWithin(span, root), `${span.name} is within its call`);
    }
    const one = (name: string) => others.find((span) => span.name === name)!;
    // In the order of the work.
    for (const [earlier, later] of [
      ['receive', 'decode'],
      ['decode', 'queue'],
      ['queue', 'inference'],
      ['inference', 'encode'],
    ] as const) {
      assert.ok(one(earlier).end <= one(later).end, `${earlier} ends before ${later} does`);
    }
    // The durations are those that the caller is told: one clock measures both.
    for (const name of ['decode', 'queue', 'inference']) {
      const told = Number(trailing.get(`vicregl-phase-${name}-ms`)[0]);
      const took = Number(one(name).end - one(name).start) / 1e6;
      assert.ok(Math.abs(took - told) < 0.002, `${name}: ${took} ms in the trace, ${told} ms in the trailing metadata`);
    }
    assert.equal(one('run').attributes['vicregl.model'], 'tiny@1');
    assert.equal(one('run').attributes['vicregl.batch.images'], 1);
  });

  test('a call by the Open Inference Protocol is traced under its own name', async () => {
    const { traceId, spanId, traceparent } = caller();
    const Service = loadInferenceService();
    const raw = new Service(server.address, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set('traceparent', traceparent);
    await new Promise<void>((resolve, reject) => {
      raw.modelMetadata({ name: 'tiny' }, metadata, (error: unknown) => (error ? reject(error) : resolve()));
    });
    raw.close();
    const { root } = await traceOf(traceId);
    assert.deepEqual([root.name, root.parentSpanId], [`${inferenceServiceName}/ModelMetadata`, spanId]);
    assert.equal(root.attributes['rpc.response.status_code'], 'OK');
  });

  test('a match has the phases of both images and of the match', async () => {
    const { traceId, traceparent } = caller();
    const Service = loadVicreglService();
    const raw = new Service(server.address, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set('traceparent', traceparent);
    const side = { image: { raw: { width: 56, height: 56, rgb: Buffer.from(image.rgb) } } };
    await new Promise<void>((resolve, reject) => {
      raw.match({ a: side, b: side } as never, metadata, (error: unknown) => (error ? reject(error) : resolve()));
    });
    raw.close();
    const { root, others } = await traceOf(traceId);
    const count = (name: string) => others.filter((span) => span.name === name).length;
    assert.deepEqual([count('decode'), count('queue'), count('inference'), count('match')], [2, 2, 2, 1]);
    assert.equal(count('run'), 1, 'both images share a run');
    assert.ok(others.every((span) => isWithin(span, root) && span.parentSpanId === root.spanId));
  });

  test('a request over HTTP has the attributes of HTTP, and the same phases', async () => {
    const { traceId, spanId, traceparent } = caller();
    const body = JSON.stringify({
      image: { raw: { width: 56, height: 56, rgb: Buffer.from(image.rgb).toString('base64') } },
    });
    const url = `http://${server.httpAddress}/v1/embed?l2Normalize=true`;
    const headers = { 'content-type': 'application/json', 'user-agent': 'tester/1', traceparent };
    assert.equal((await fetch(url, { method: 'POST', body, headers })).status, 200);
    const { root, others } = await traceOf(traceId);
    assert.equal(root.parentSpanId, spanId);
    assert.equal(root.name, 'POST /v1/embed');
    const { attributes } = root;
    assert.deepEqual(
      [
        'http.request.method',
        'http.route',
        'url.path',
        'url.scheme',
        'http.response.status_code',
        'network.protocol.version',
        'user_agent.original',
        'vicregl.method',
      ].map((name) => attributes[name]),
      ['POST', '/v1/embed', '/v1/embed', 'http', 200, '1.1', 'tester/1', 'Embed'],
    );
    assert.ok(!Object.values(attributes).some((value) => String(value).includes('l2Normalize')), 'no query');
    for (const name of ['decode', 'queue', 'inference', 'encode'])
      assert.ok(
        others.some((span) => span.name === name),
        name,
      );
    assert.ok(others.every((span) => isWithin(span, root)));
  });

  test('requests for pages, health and metrics have no span', async () => {
    const { traceId, traceparent } = caller();
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/metrics', '/nothing']) {
      await (await fetch(`http://${server.httpAddress}${path}`, { headers: { traceparent } })).text();
    }
    // A later call has arrived, so these would have, too.
    const later = caller();
    await embedWith(server, [['traceparent', later.traceparent]]);
    await traceOf(later.traceId);
    assert.deepEqual(spansOf(traceId), []);
  });

  test('a failure of the service is an error of the span, a failure of the caller is not', async () => {
    const http = async (body: object, traceparent: string) =>
      (
        await fetch(`http://${server.httpAddress}/v1/embed`, {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json', traceparent },
        })
      ).status;
    const rgb = (data: Uint8Array) => ({
      image: { raw: { width: 56, height: 56, rgb: Buffer.from(data).toString('base64') } },
    });
    const [broken, unknown, refused] = [caller(), caller(), caller()];
    assert.equal(await http(rgb(poisoned.rgb), broken.traceparent), 500);
    assert.equal(await http({ ...rgb(image.rgb), model: 'none' }, unknown.traceparent), 404);
    // Refused before its body is read.
    await fetch(`http://${server.httpAddress}/v1/embed`, {
      method: 'POST',
      headers: { traceparent: refused.traceparent, origin: 'http://evil' },
    });
    const roots = await Promise.all(
      [broken, unknown, refused].map(async ({ traceId }) => (await traceOf(traceId)).root),
    );
    assert.deepEqual(
      roots.map(({ status, attributes }) => [
        status,
        attributes['http.response.status_code'],
        attributes['error.type'],
        attributes['vicregl.reason'],
      ]),
      [
        [2, 500, '500', 'ENGINE_INTERNAL'],
        [0, 404, undefined, 'UNKNOWN_MODEL'],
        [0, 403, undefined, 'FORBIDDEN_ORIGIN'],
      ],
    );
    const run = (await traceOf(broken.traceId)).others.find(({ name }) => name === 'run')!;
    assert.deepEqual([run.status, run.attributes['vicregl.batch.failed_images']], [2, 1]);

    const grpc = caller();
    await assert.rejects(
      embedWith(server, [
        ['traceparent', grpc.traceparent],
        ['grpc-timeout', '1n'],
      ]),
    );
    const { root } = await traceOf(grpc.traceId);
    assert.deepEqual([root.status, root.attributes['rpc.response.status_code']], [2, 'DEADLINE_EXCEEDED']);
    assert.equal(root.attributes['error.type'], 'DEADLINE_EXCEEDED');
  });

  test('every item of a stream has a span with its phases', async () => {
    const before = collector.spans.length;
    const items = [0, 1, 2].map((i) => ({
      id: String(i),
      image: i === 1 ? { width: 0, height: 0, rgb: new Uint8Array() } : image,
    }));
    const settled: boolean[] = [];
    for await (const answer of client.embedStream(items)) settled.push('value' in answer);
    const name = `${serviceName}/EmbedStream`;
    await until(() => collector.spans.slice(before).some((span) => span.name === name));
    const mine = collector.spans.slice(before);
    const root = mine.find((span) => span.name === name)!;
    assert.equal(root.parentSpanId, '', 'a call without a trace begins one');
    const ofItems = mine.filter((span) => span.name === 'item');
    assert.equal(ofItems.length, 3);
    assert.ok(ofItems.every((span) => span.parentSpanId === root.spanId && isWithin(span, root)));
    assert.deepEqual(ofItems.map(({ attributes }) => attributes['rpc.response.status_code']).sort(), [
      'INVALID_ARGUMENT',
      'OK',
      'OK',
    ]);
    const answered = ofItems.filter(({ attributes }) => attributes['rpc.response.status_code'] === 'OK');
    for (const item of answered) {
      const children = mine.filter(({ parentSpanId }) => parentSpanId === item.spanId);
      for (const phase of ['receive', 'decode', 'queue', 'inference', 'encode']) {
        assert.ok(
          children.some((child) => child.name === phase),
          phase,
        );
      }
      assert.ok(children.filter((child) => phases.includes(child.name)).every((child) => isWithin(child, item)));
    }
  });

  test('an item that cannot be parsed ends the stream, and has a span that ends with its status', async () => {
    const before = collector.spans.length;
    const session = connect(`http://${server.address}`);
    const path = `/${serviceName}/EmbedStream`;
    rawCall(session, path, [Buffer.alloc(20, 0xff)])
      .resume()
      .end();
    await until(() => collector.spans.slice(before).some((span) => span.name === path.slice(1)));
    session.close();
    const mine = collector.spans.slice(before);
    const root = mine.find((span) => span.name === path.slice(1))!;
    const items = mine.filter((span) => span.name === 'item');
    assert.deepEqual(
      items.map(({ parentSpanId, attributes }) => [parentSpanId, attributes['rpc.response.status_code']]),
      [[root.spanId, 'INVALID_ARGUMENT']],
    );
    assert.ok(isWithin(items[0]!, root));
    assert.equal(root.attributes['rpc.response.status_code'], 'INVALID_ARGUMENT');
  });

  test('every log line of a call has the ids of its span, sampled or not', async () => {
    const [sampled, unsampled] = [caller('01'), caller('00')];
    for (const { traceparent, traceId } of [sampled, unsampled]) {
      await embedWith(server, [['traceparent', traceparent]]);
      await until(() => lines.some((line) => line.trace_id === traceId));
    }
    const { root } = await traceOf(sampled.traceId);
    const ofCall = lines.filter(({ trace_id }) => trace_id === sampled.traceId);
    assert.deepEqual(
      ofCall.map(({ span_id, trace_flags }) => [span_id, trace_flags]),
      [[root.spanId, '01']],
    );
    assert.equal(lines.find(({ trace_id }) => trace_id === unsampled.traceId)!.trace_flags, '00');
    assert.deepEqual(spansOf(unsampled.traceId), [], 'what the caller does not sample is not exported');
    assert.ok(
      lines
        .filter(({ requestId, method }) => requestId !== undefined && method !== 'unknown')
        .every(({ trace_id }) => /^[0-9a-f]{32}$/.test(trace_id ?? '')),
    );
  });

  test('latency histograms have exemplars for scrapers that ask for OpenMetrics, and both formats have the same series', async () => {
    const { traceId, traceparent } = caller();
    await embedWith(server, [['traceparent', traceparent]]);
    const { root } = await traceOf(traceId);
    const accept =
      'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
    const open = await metricsOf(server, accept);
    assert.match(open, /# EOF\n$/);
    const exemplar = `# {trace_id="${traceId}",span_id="${root.spanId}"}`;
    const marked = open.split('\n').filter((line) => line.includes(exemplar));
    assert.ok(marked.some((line) => /^vicregl_request_duration_seconds_bucket\{.*method="Embed"/.test(line)));
    assert.ok(marked.some((line) => /^vicregl_phase_duration_seconds_bucket\{.*phase="inference"/.test(line)));
    const plain = await metricsOf(server);
    assert.ok(!plain.includes('trace_id') && !plain.includes('# EOF'), 'the text format has no exemplars');
    const series = (text: string) =>
      new Set(text.split('\n').flatMap((line) => /^(vicregl_[^ ]+) /.exec(line)?.[1] ?? []));
    assert.deepEqual(series(open), series(plain));
    assert.match(await metricsOf(server, accept), /^# TYPE vicregl_requests counter$/m);
    const overHttp = await fetch(`http://${server.httpAddress}/metrics`, { headers: { accept } });
    assert.match(overHttp.headers.get('content-type') ?? '', /^application\/openmetrics-text; version=1\.0\.0/);
  });

  test('hostile trace headers are ignored: the call is answered, in a new trace', async () => {
    const { traceparent, traceId, spanId } = caller();
    const hostile: [string, string][][] = [
      [['traceparent', '']],
      [['traceparent', 'x'.repeat(5000)]],
      [['traceparent', `ff-${traceId}-${spanId}-01`]],
      [['traceparent', `00-${'0'.repeat(32)}-${spanId}-01`]],
      [['traceparent', `00-${traceId}-${'0'.repeat(16)}-01`]],
      [['traceparent', `${traceparent}-more`]],
      [['traceparent', traceparent.toUpperCase().replace('00-', '00-A')]],
      [
        ['traceparent', traceparent],
        ['traceparent', `00-${'1'.repeat(32)}-${spanId}-01`],
      ],
      [['traceparent', '"; DROP TABLE spans; --']],
      [['tracestate', 'a=1']],
      [['baggage', `${'k=v,'.repeat(1000)}__proto__=1`]],
    ];
    const answered = hostile.map(async (entries) => {
      const id = randomBytes(8).toString('hex');
      await embedWith(server, [...entries, ['x-request-id', id]]);
      const ofCall = () => collector.spans.find(({ attributes }) => attributes['vicregl.request_id'] === id);
      await until(() => ofCall() !== undefined);
      const span = ofCall()!;
      assert.notEqual(span.traceId, traceId, JSON.stringify(entries[0]));
      assert.equal(span.parentSpanId, '', JSON.stringify(entries[0]));
      assert.equal(span.traceState, '');
      assert.ok(!JSON.stringify(span.attributes).includes('__proto__'), 'baggage is not recorded');
    });
    await Promise.all(answered);
    // What surrounds a usable traceparent does not matter.
    const continued = ['=', ',,,', 'k=v,'.repeat(2000), '~'.repeat(513), 'a=1,a=2,b'].map(async (tracestate) => {
      const good = caller();
      await embedWith(server, [
        ['traceparent', good.traceparent],
        ['tracestate', tracestate],
      ]);
      const { root } = await traceOf(good.traceId);
      assert.equal(root.parentSpanId, good.spanId);
      assert.ok(root.traceState.length <= 512);
    });
    await Promise.all(continued);
  });

  test('the client sends the active context of the application that has registered a propagator, and nothing else', async () => {
    const { NodeTracerProvider } = await import('@opentelemetry/sdk-trace-node');
    const traced = caller();
    const active = trace.setSpanContext(context.active(), {
      traceId: traced.traceId,
      spanId: traced.spanId,
      traceFlags: 1,
    });
    const count = (): number => spansOf(traced.traceId).length;

    await context.with(active, () => client.embed(image));
    assert.equal(count(), 0);

    // As an application does, with W3C's propagator.
    new NodeTracerProvider().register();
    try {
      const name = (method: string) => `${serviceName}/${method}`;
      await context.with(active, () => client.embed(image));
      await context.with(active, async () => {
        for await (const _ of client.embedStream([{ id: 'a', image }]));
      });
      await context.with(active, () => client.features(image, { chunked: true }));
      const roots = () => spansOf(traced.traceId).filter(({ kind }) => kind === 2);
      await until(() => roots().length === 3);
      assert.deepEqual(
        roots().map(({ name: method, parentSpanId }) => [method, parentSpanId]),
        ['Embed', 'EmbedStream', 'ExtractFeaturesChunked'].map((method) => [name(method), traced.spanId]),
      );
    } finally {
      trace.disable();
      context.disable();
      propagation.disable();
    }
  });
});

test('the run of a batch has a link to each of its calls, and each call one to the run', async () => {
  const collector = await startOtlpCollector();
  const held = createHeldEngine();
  const { server } = await start(
    { OTEL_EXPORTER_OTLP_ENDPOINT: collector.http, OTEL_TRACES_EXPORTER: 'otlp' },
    { models: [{ engine: held.engine }] },
  );
  const callers = [caller(), caller(), caller('00')];
  const first = caller();
  const begun = held.nextRun();
  const calls = [embedWith(server, [['traceparent', first.traceparent]])];
  await begun;
  calls.push(...callers.map(({ traceparent }) => embedWith(server, [['traceparent', traceparent]])));
  await until(async () => /^vicregl_queue_images\{.*\} 3$/m.test(await metricsOf(server)), 5);
  held.free();
  await Promise.all(calls);
  await server.close();
  const named = (name: string) => collector.spans.filter((span) => span.name === name);
  assert.deepEqual(held.runs, [1, 3]);
  const run = named('run').find(({ attributes }) => attributes['vicregl.batch.images'] === 3)!;
  const roots = collector.spans.filter(({ kind, traceId }) => kind === 2 && traceId !== first.traceId);
  assert.equal(roots.length, 2, 'the third caller is not sampled');
  const ids = ({ traceId, spanId }: { readonly traceId: string; readonly spanId: string }) => `${traceId} ${spanId}`;
  assert.deepEqual(new Set(run.links.map(ids)), new Set(roots.map(ids)));
  assert.ok(roots.some(({ spanId }) => spanId === run.parentSpanId));
  const inferences = named('inference').filter(({ traceId }) => traceId !== first.traceId);
  assert.deepEqual(
    inferences.map(({ links }) => links.map(ids)),
    [[ids(run)], [ids(run)]],
  );
  assert.ok(inferences.every((span) => span.end <= run.end));
  assert.deepEqual(new Set(collector.contentTypes), new Set(['application/x-protobuf']));
  await collector.close();
});

test('spans are exported as JSON, too, and the sampler of the environment decides', async () => {
  const collector = await startOtlpCollector();
  const { server } = await start({
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.http}/v1/traces`,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0',
  });
  const asked = caller();
  await embedWith(server, [['traceparent', asked.traceparent]]);
  await embedWith(server, []);
  await server.close();
  assert.deepEqual(new Set(collector.contentTypes), new Set(['application/json']));
  assert.deepEqual(new Set(collector.spans.map(({ traceId }) => traceId)), new Set([asked.traceId]));
  await collector.close();
});

test('a collector that is down costs spans alone: they are counted, the queue is bounded, and the service ends', async () => {
  // The port is closed again: nobody listens.
  const gone = await startOtlpCollector();
  await gone.close();
  const { server, lines, tracing } = await start({
    OTEL_EXPORTER_OTLP_ENDPOINT: gone.grpc,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_EXPORTER_OTLP_TIMEOUT: '300',
    OTEL_BSP_MAX_QUEUE_SIZE: '20',
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '10',
  });
  const client = createClient({ address: server.address });
  // Six spans each: many more than the queue holds.
  await Promise.all(Array.from({ length: 30 }, () => client.embed(image)));
  await until(() => tracing!.counts.exportFailed > 0 && tracing!.counts.queueFull > 0);
  const text = await metricsOf(server);
  assert.match(text, /^vicregl_trace_spans_dropped_total\{reason="queue_full"\} [1-9]/m);
  assert.match(text, /^vicregl_trace_spans_dropped_total\{reason="export_failed"\} [1-9]/m);
  assert.match(text, /^vicregl_trace_spans_exported_total 0$/m);
  assert.match(text, /^vicregl_requests_total\{method="Embed",code="OK"\} 30$/m);
  await client.close();
  await server.close();
  const warnings = lines.filter(({ msg }) => /spans cannot be exported/.test(msg));
  assert.equal(warnings.length, 1, 'one line, and not one for each batch');
});

test('unusable variables are ignored with a warning that names them', async () => {
  const lines: Line[] = [];
  const logger = createLogger('info', { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  const restore = withEnv({
    OTEL_TRACES_EXPORTER: 'otlp,zipkin',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'carrier-pigeon',
    OTEL_TRACES_SAMPLER: 'sometimes',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'not a url',
  });
  const tracing = await openTracing(process.env, logger, '1');
  restore();
  await tracing?.close();
  const text = lines.map(({ msg }) => msg).join('\n');
  for (const name of ['zipkin', 'carrier-pigeon', 'sometimes', 'not a url']) assert.match(text, new RegExp(name));
});
