import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { json as readJson, text as readText } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { statusName } from '../../src/proto/status.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { stream } from '../../src/tensor/random.js';
import { longTests } from '../support/longTests.js';
import { type HttpCase, httpCase, httpMakers } from '../support/malformed/httpCases.js';
import { malformedCases } from '../support/malformed.js';
import { tinyManifest } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';

/** The malformed requests of gRPC as JSON, and those that only HTTP can have, from one seed: no crash, right codes, nothing leaked. */

const CASES = longTests ? 10_000 : 1500;
const CONCURRENCY = 16;
const SEED = 6;
/** What must not be in an answer: paths of this machine, lines of a stack. */
const DISCLOSURE = /node_modules|\/work\/|\/home\/|\/usr\/|file:\/\/\/|\n\s+at |root:/;

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly text: string;
}

const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });

/** The gRPC status that an answer says, of its first failed item if it has some. */
function codeOf(status: number, body: unknown, path: string): string {
  const { code, results, error } = body as { code?: number; error?: object; results?: { status?: { code: number } }[] };
  if (path.startsWith('/v1/embeddings')) {
    if (error === undefined) return 'OK';
    return status === 404 ? 'NOT_FOUND' : status === 413 || status === 429 ? 'RESOURCE_EXHAUSTED' : 'INVALID_ARGUMENT';
  }
  if (status === 405) return 'INVALID_ARGUMENT';
  const found = status === 200 ? results?.find((result) => result.status)?.status?.code : code;
  return found === undefined ? 'OK' : statusName(found);
}

async function send(address: string, { path, headers, body }: HttpCase): Promise<Answer> {
  const request = httpRequest(`http://${address}${path}`, { agent, method: 'POST', headers });
  // A refused body may meet a closed connection; its answer has arrived by then.
  request.on('error', () => {});
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const status = response.statusCode!;
  if (response.headers['content-type']?.startsWith('application/json') !== true) {
    await readText(response);
    return { status, code: 'OK', text: '' };
  }
  const value = await readJson(response);
  return { status, code: codeOf(status, value, path), text: JSON.stringify(value) };
}

describe('malformed requests over HTTP', () => {
  let server: RunningServer;
  const internal: string[] = [];
  before(async () => {
    server = await createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
      address: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      // The queues hold all concurrent requests, so that a full one does not hide the status that is tested.
      limits: { ...defaultServeLimits, queueMatches: CONCURRENCY, queueReductions: CONCURRENCY },
      logger: createLogger('error', { write: (line: string) => void internal.push(line) }),
    });
  });
  after(() => server.close());

  test(`${CASES} of them: correct status codes, nothing disclosed, nothing left open`, async (t) => {
    const image = await sharp({ create: { width: 24, height: 24, channels: 3, background: '#123456' } })
      .png()
      .toBuffer();
    const ofGrpc = await malformedCases();
    const own = httpMakers(image);
    const wrong: string[] = [];
    const answers = new Map<string, Map<string, number>>();
    let next = 0;
    const loop = async (): Promise<void> => {
      while (next < CASES) {
        const i = next++;
        const random = stream(SEED, 'malformed over HTTP', i);
        const of = Math.floor(i / 2);
        const made = i % 2 === 0 ? own[of % own.length]!(random) : httpCase(ofGrpc[of % ofGrpc.length]!(random));
        if (made === undefined) continue;
        const { status, code, text } = await send(server.httpAddress, made);
        const counts = answers.get(made.kind) ?? new Map<string, number>();
        answers.set(made.kind, counts.set(code, (counts.get(code) ?? 0) + 1));
        const says = `case ${i}, ${made.kind}, ${made.path}: ${status} ${code} ${text.slice(0, 300)}`;
        if (!made.allowed.includes(code) || status >= 500) wrong.push(says);
        else if (DISCLOSURE.test(text)) wrong.push(`discloses: ${says}`);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, loop));
    for (const [kind, counts] of answers) {
      t.diagnostic(`${kind}: ${[...counts].map(([code, count]) => `${count} ${code}`).join(', ')}`);
    }
    assert.deepEqual(wrong.slice(0, 10), [], `${wrong.length} answers are wrong`);
    assert.deepEqual(internal, []);
    for (const kind of ['damaged JSON', 'damaged form', 'strange query', 'damaged JPEG']) {
      assert.ok(answers.get(kind)!.size > 1, `${kind}: all have the same status`);
    }
    agent.destroy();
    for (const gauge of [
      /^vicregl_http_requests_in_flight 0$/m,
      /^vicregl_held_request_bytes 0$/m,
      /^vicregl_held_answer_bytes 0$|^vicregl_held_response_bytes 0$/m,
      /^vicregl_held_map_bytes 0$/m,
      /^vicregl_queue_images\{.*\} 0$/m,
      /^vicregl_requests_in_flight\{method="Match"\} 0$/m,
    ]) {
      await untilMetric(server.metricsAddress, gauge);
    }
  });

  test('bytes that are not HTTP, or not quite, close their connection and nothing else', async () => {
    const [host, port] = server.httpAddress.split(':') as [string, string];
    const head = `POST /v1/embed HTTP/1.1\r\nhost: ${server.httpAddress}\r\ncontent-type: application/json\r\n`;
    const texts = [
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      'GET / HTTP/9.9\r\n\r\n',
      `${head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`,
      `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${head}transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n`,
      `${head}transfer-encoding: chunked\r\n\r\n5\r\nhel`,
      `${head}content-length: -1\r\n\r\n`,
      `${head}bad header\r\n\r\n`,
      'POST /v1/embed HTTP/1.1\r\n\r\n',
    ];
    for (const text of texts) {
      const socket = connect(Number(port), host);
      socket.on('error', () => {});
      socket.end(Buffer.from(text, 'latin1'));
      const answer = await readText(socket);
      assert.match(answer, /^(HTTP\/1\.1 4\d\d |$)/, text);
      assert.doesNotMatch(answer, DISCLOSURE);
    }
    await untilMetric(server.metricsAddress, /^vicregl_http_requests_in_flight 0$/m);
    assert.equal((await fetch(`http://${server.httpAddress}/readyz`)).status, 200);
    assert.deepEqual(internal, []);
  });
});
