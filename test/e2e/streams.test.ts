import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { credentials, status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { createClient, type Phases, type Settled, type StreamAnswer, VicreglError } from '../../src/client/index.js';
import { createFakeEngine, type FakeEngineOptions } from '../../src/engine/fakeEngine.js';
import { loadVicreglService } from '../../src/proto/load.js';
import { defaultServeLimits, type ServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer } from '../../src/serve/server.js';
import { tinyManifest } from '../support/tinyModel.js';
import { until } from '../support/until.js';

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
const manifest = { ...tinyManifest, files: {} };

async function start(limits: Partial<ServeLimits> = {}, engine: Partial<FakeEngineOptions> = {}) {
  let runs = 0;
  const server = await createServer({
    models: [
      {
        engine: createFakeEngine({
          manifest,
          failWith: (batch) => {
            runs += batch.shape[0]!;
            return undefined;
          },
          ...engine,
        }),
      },
    ],
    logger: pino({ level: 'silent' }),
    address: '127.0.0.1:0',
    metricsAddress: '127.0.0.1:0',
    limits: { ...defaultServeLimits, ...limits },
  });
  const client = createClient({ address: server.address, deadlineMs: 20_000 });
  return {
    server,
    client,
    /** Number of images that the engine has run. */
    runs: () => runs,
    async metric(name: string, labels: string) {
      const text = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
      return Number(new RegExp(`^${name}\\{${labels}\\} (.*)$`, 'm').exec(text)?.[1] ?? 0);
    },
    async stop() {
      await client.close();
      await server.close();
    },
  };
}

function value<T>(answer: Settled<T>): T {
  assert.equal(answer.status, 'fulfilled');
  return answer.value;
}

function reason(answer: Settled<unknown>): VicreglError {
  assert.equal(answer.status, 'rejected');
  return answer.reason;
}

async function byId<T>(answers: AsyncIterable<StreamAnswer<T>>): Promise<Map<string, StreamAnswer<T>>> {
  const found = new Map<string, StreamAnswer<T>>();
  for await (const answer of answers) found.set(answer.id, answer);
  return found;
}

describe('batches', () => {
  let service: Awaited<ReturnType<typeof start>>;
  let images: Buffer[];
  before(async () => {
    service = await start();
    images = await Promise.all(['astronaut.jpg', 'coffee.jpg', 'chelsea.png'].map(photo));
  });
  after(() => service.stop());

  test('one bad image in eight: seven answers, each as in a single call, and one status', async () => {
    const eight = Array.from({ length: 8 }, (_, i) => images[i % 3]!);
    eight[5] = eight[5]!.subarray(0, 3000);
    const results = await service.client.embedBatch(eight);
    assert.equal(results.length, 8);
    for (const [i, result] of results.entries()) {
      if (i === 5) continue;
      assert.deepEqual(value(result).vector, (await service.client.embed(images[i % 3]!)).vector);
    }
    const error = reason(results[5]!);
    assert.deepEqual([error.code, error.reason], ['INVALID_ARGUMENT', 'IMAGE_CORRUPT']);
    assert.match(error.message, /^image: PNG is damaged: chunk IDAT|^image: JPEG is damaged/);
    const items = (code: string) => service.metric('vicregl_items_total', `method="EmbedBatch",code="${code}"`);
    assert.deepEqual([await items('OK'), await items('INVALID_ARGUMENT')], [7, 1]);
  });

  test('requests of one batch have their own options', async () => {
    const [astronaut, coffee] = images as [Buffer, Buffer];
    const results = await service.client.featuresBatch(
      [astronaut, { image: coffee, cells: [{ row: 2, column: 3 }] }, { image: coffee, model: 'other' }],
      { dtype: 'float16' },
    );
    assert.deepEqual(value(results[0]!).shape, [7, 7, 16]);
    const cell = value(results[1]!);
    assert.deepEqual([cell.shape, cell.tensor.dtype], [[1, 16], 'float16']);
    assert.equal(reason(results[2]!).reason, 'UNKNOWN_MODEL');
  });

  test('an answer that does not fit after the earlier ones is rejected, in any order of completion', async () => {
    const large = { pixels: images[0]!, resize: { kind: 'fit', width: 320, height: 320 } } as const;
    const small = { pixels: images[0]!, resize: { kind: 'fit', width: 80, height: 80 } } as const;
    // 40 x 40 cells of 16 channels are 102,400 bytes; the small map has 6,400.
    const narrow = createClient({ address: service.server.address, maxMessageBytes: 4096 + 110_000 });
    const results = await narrow.featuresBatch([large, small, large, small]);
    await narrow.close();
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'fulfilled', 'rejected', 'rejected'],
    );
    const refused = reason(results[2]!);
    assert.deepEqual([refused.code, refused.reason], ['RESOURCE_EXHAUSTED', 'TOO_LARGE']);
    assert.match(refused.message, /fewer images at a time/);
  });

  test('targets of MatchMany that fail release their place in the queue', async () => {
    const narrow = await start({ queueImages: 4, batchImages: 2 });
    const bad = images[1]!.subarray(0, 3000);
    const results = await narrow.client.matchMany(images[0]!, [bad, bad, bad, bad, bad, bad, images[1]!, images[2]!]);
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? 'matched' : result.reason.reason)),
      [...new Array<string>(6).fill('IMAGE_CORRUPT'), 'matched', 'matched'],
    );
    await narrow.stop();
  });

  test('an empty batch and one with too many requests are rejected', async () => {
    await assert.rejects(service.client.embedBatch([]), { code: 'INVALID_ARGUMENT', message: /^requests: empty/ });
    const many = new Array<Buffer>(65).fill(Buffer.alloc(1));
    await assert.rejects(service.client.embedBatch(many), {
      code: 'INVALID_ARGUMENT',
      message: /65 are over the limit of 64 \(batchRequests\)/,
    });
  });
});

describe('streams', () => {
  let service: Awaited<ReturnType<typeof start>>;
  let image: Buffer;
  before(async () => {
    service = await start({ streamItems: 4 });
    image = await photo('coffee.jpg');
  });
  after(() => service.stop());

  test('every item is answered with its id, and a failed one does not end the stream', async () => {
    const items = Array.from({ length: 40 }, (_, i) => ({
      id: `item ${i}`,
      image: i % 10 === 3 ? image.subarray(0, 500) : image,
      ...(i % 2 === 1 && { l2Normalize: true }),
    }));
    const expected = [await service.client.embed(image), await service.client.embed(image, { l2Normalize: true })];
    const answers = await byId(service.client.embedStream(items));
    assert.equal(answers.size, 40);
    const counted = (code: string) => service.metric('vicregl_items_total', `method="EmbedStream",code="${code}"`);
    assert.deepEqual([await counted('OK'), await counted('INVALID_ARGUMENT')], [36, 4]);
    assert.equal(await service.metric('vicregl_requests_total', 'method="EmbedStream",code="OK"'), 1);
    for (let i = 0; i < 40; i++) {
      const answer = answers.get(`item ${i}`)!;
      if (i % 10 === 3) assert.equal(reason(answer).reason, 'IMAGE_CORRUPT');
      else assert.deepEqual(value(answer).vector, expected[i % 2]!.vector);
      assert.ok(answer.phases.decode! > 0);
    }
  });

  test('ExtractFeaturesStream applies the options of each item', async () => {
    const answers = await byId(
      service.client.featuresStream(
        [
          { id: 'map', image },
          { id: 'int8', image, dtype: 'int8', space: 'localProjector' },
          { id: 'stage', image, stages: [1] },
        ],
        { l2Normalize: true },
      ),
    );
    assert.deepEqual(value(answers.get('map')!).shape, [7, 7, 16]);
    const int8 = value(answers.get('int8')!);
    assert.deepEqual([int8.shape, int8.tensor.dtype], [[7, 7, 12], 'int8']);
    assert.equal(reason(answers.get('stage')!).code, 'FAILED_PRECONDITION');
  });

  test('ids may be empty or repeated, and their length is limited', async () => {
    const ids = ['', 'twice', 'twice', 'x'.repeat(300)];
    const seen: string[] = [];
    for await (const answer of service.client.embedStream(ids.map((id) => ({ id, image })))) {
      seen.push(answer.id);
      if (answer.id.length > 100)
        assert.match(reason(answer).message, /^id: 300 characters, over the limit of 256; send a shorter one/);
      else assert.equal(answer.status, 'fulfilled');
    }
    assert.deepEqual(seen.sort(), ['', 'twice', 'twice', 'x'.repeat(256)]);
  });

  test('a slow reader slows the server and the sender', async () => {
    const before = service.runs();
    let sent = 0;
    async function* many() {
      for (; sent < 400; sent++) yield { id: String(sent), image: { pixels: image, resize: fit } };
    }
    const fit = { kind: 'fit', width: 512, height: 512 } as const;
    // 64 x 64 cells of 16 channels: 256 KiB per answer, four times the window of HTTP/2.
    const answers = service.client.featuresStream(many())[Symbol.asyncIterator]();
    await answers.next();
    await until(() => service.runs() - before >= 4);
    // While other calls on the same connection are answered, the stream continues as far as it can without the reader.
    const others = 20;
    for (let i = 0; i < others; i++) await service.client.embed(image);
    // The limit is 4 unanswered items, one message ahead on either side, and the small requests that fit into HTTP/2's windows.
    const held = service.runs() - before - others;
    assert.ok(held <= 8, `${held} images were run for a reader who took one answer`);
    assert.ok(sent < 40, `${sent} were sent`);
    for (let taken = 1; taken < 20; taken++) assert.equal((await answers.next()).done, false);
    await answers.return?.();
  });

  test('streams beyond the queue capacity wait, and leave capacity for calls that cannot wait', async () => {
    const narrow = await start({ streamItems: 8, queueImages: 4 }, { delayMs: 10 });
    const items = Array.from({ length: 12 }, (_, i) => ({ id: String(i), image }));
    const streams = Array.from({ length: 5 }, () => byId(narrow.client.embedStream(items)));
    const queued = () => narrow.metric('vicregl_phase_duration_seconds_count', 'method="EmbedStream",phase="queue"');
    await until(async () => (await queued()) > 0);
    for (let i = 0; i < 5; i++) await narrow.client.embed(image);
    for (const answers of await Promise.all(streams)) {
      assert.equal(answers.size, 12);
      for (const answer of answers.values()) value(answer);
    }
    assert.equal(await queued(), 60, 'an item waits once');
    await narrow.stop();
  });

  test('streams hold at most half of the request bytes and of the reduction queue, and wait for more', async () => {
    const narrow = await start(
      { streamItems: 8, requestBytes: 6 * image.byteLength, queueReductions: 2 },
      { delayMs: 5 },
    );
    const items = Array.from({ length: 12 }, (_, i) => ({ id: String(i), image, pca: { components: 2 } }));
    const streams = Array.from({ length: 4 }, () => byId(narrow.client.featuresStream(items)));
    const queued = () =>
      narrow.metric('vicregl_phase_duration_seconds_count', 'method="ExtractFeaturesStream",phase="queue"');
    await until(async () => (await queued()) >= 4);
    for (let i = 0; i < 5; i++) await narrow.client.features(image, { pca: { components: 2 } });
    for (const answers of await Promise.all(streams)) {
      assert.equal(answers.size, 12);
      for (const answer of answers.values()) value(answer);
    }
    await narrow.stop();
  });

  test('leaving the loop ends the call on the server, and the next call works', async () => {
    const cancelled = () => service.metric('vicregl_requests_total', 'method="EmbedStream",code="CANCELLED"');
    const before = await cancelled();
    async function* endless() {
      for (let i = 0; ; i++) yield { id: String(i), image };
    }
    for await (const answer of service.client.embedStream(endless())) {
      if (Number(answer.id) > 5) break;
    }
    await until(async () => (await cancelled()) > before);
    assert.equal(await service.metric('vicregl_requests_in_flight', 'method="EmbedStream"'), 0);
    assert.equal((await service.client.embed(image)).vector.length, 16);
  });

  test('an abort and a deadline end a stream with their status codes', async () => {
    const aborting = new AbortController();
    async function* stuck() {
      yield { id: 'one', image };
      await new Promise(() => {});
    }
    const answers = service.client.embedStream(stuck(), { signal: aborting.signal })[Symbol.asyncIterator]();
    assert.equal((await answers.next()).value.id, 'one');
    aborting.abort();
    await assert.rejects(answers.next(), { code: 'CANCELLED' });
    await assert.rejects(byId(service.client.embedStream(stuck(), { deadlineMs: 300 })), { code: 'DEADLINE_EXCEEDED' });
  });

  test("an error of the caller's iterable is passed to the caller", async () => {
    async function* broken() {
      yield { id: 'one', image };
      throw new VicreglError('UNKNOWN', 'the disk is gone');
    }
    await assert.rejects(byId(service.client.embedStream(broken())), /the disk is gone/);
  });

  test('bytes that are not a message end the stream with INVALID_ARGUMENT after the earlier items are answered', async () => {
    const Client = loadVicreglService();
    const client = new Client(service.server.address, credentials.createInsecure());
    const { EmbedStream } = Client.service;
    const good = EmbedStream.requestSerialize({ id: 'good', request: { image: { encoded: image } } });
    const call = client.makeBidiStreamRequest(
      EmbedStream.path,
      (bytes: Buffer) => bytes,
      EmbedStream.responseDeserialize,
    );
    const ids: string[] = [];
    call.on('data', ({ id }: { id: string }) => ids.push(id));
    call.write(good);
    call.write(Buffer.from([0x12, 0xff, 0xff, 0x03, 1]));
    const [error] = (await once(call, 'error')) as [{ code: status; details: string }];
    client.close();
    assert.equal(error.code, status.INVALID_ARGUMENT);
    assert.match(error.details, /not a valid EmbedStream request/);
    assert.deepEqual(ids, ['good']);
  });

  test('an item over the limit ends the stream with RESOURCE_EXHAUSTED after the earlier items are answered', async () => {
    const narrow = await start({ maxMessageBytes: 200_000 }, { delayMs: 20 });
    const small = { width: 8, height: 8, rgb: new Uint8Array(192) };
    const large = { width: 300, height: 300, rgb: new Uint8Array(270_000) };
    const items = [...['a', 'b', 'c'].map((id) => ({ id, image: small })), { id: 'large', image: large }];
    const answered: string[] = [];
    const reading = (async () => {
      for await (const { id, status: outcome } of narrow.client.embedStream(items)) answered.push(`${id} ${outcome}`);
    })();
    await assert.rejects(reading, { code: 'RESOURCE_EXHAUSTED', reason: 'TOO_LARGE', message: /maxMessageBytes/ });
    assert.deepEqual(answered.sort(), ['a fulfilled', 'b fulfilled', 'c fulfilled']);
    const ended = (code: string) => narrow.metric('vicregl_requests_total', `method="EmbedStream",code="${code}"`);
    assert.deepEqual([await ended('RESOURCE_EXHAUSTED'), await ended('CANCELLED')], [1, 0]);
    assert.equal((await narrow.client.embed(small)).vector.length, 16);
    await narrow.stop();
  });

  test('unread answers of slow readers delay other streams, but fail no item', async () => {
    const fit = { kind: 'fit', width: 512, height: 512 } as const;
    // Answers have 256 KiB, and streams may hold two of them.
    const narrow = await start({ streamItems: 8, responseBytes: 4 * 270_000 });
    const items = Array.from({ length: 12 }, (_, i) => ({ id: String(i), image: { pixels: image, resize: fit } }));
    const slow = narrow.client.featuresStream(items)[Symbol.asyncIterator]();
    value((await slow.next()).value as Settled<unknown>);
    await until(() => narrow.runs() >= 8);
    const quick = byId(narrow.client.featuresStream(items));
    for (let taken = 1; taken < 12; taken++) value((await slow.next()).value as Settled<unknown>);
    for (const answer of (await quick).values()) value(answer);
    await narrow.stop();
  });

  test('a shutdown answers the accepted items and ends the stream with UNAVAILABLE', async () => {
    const other = await start();
    const waiting: (() => void)[] = [];
    async function* slowly() {
      for (let i = 0; ; i++) {
        yield { id: String(i), image };
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    }
    const answers = other.client.embedStream(slowly())[Symbol.asyncIterator]();
    assert.equal((await answers.next()).value.status, 'fulfilled');
    const closed = other.server.close();
    await assert.rejects(answers.next(), { code: 'UNAVAILABLE', reason: 'SHUTTING_DOWN' });
    await closed;
    for (const go of waiting) go();
    await other.client.close();
  });
});

describe('phase times', () => {
  test('are in the trailing metadata of unary calls, streams and failed calls', async () => {
    const service = await start({}, { delayMs: 5 });
    const image = await photo('coffee.jpg');
    const seen: Phases[] = [];
    const onPhases = (phases: Phases) => void seen.push(phases);
    await service.client.embed(image, { onPhases });
    await byId(
      service.client.embedStream(
        [
          { id: 'a', image },
          { id: 'b', image },
        ],
        { onPhases },
      ),
    );
    await assert.rejects(service.client.embed(image.subarray(0, 2000), { onPhases }));
    await service.stop();
    const [unary, stream, failed] = seen;
    assert.deepEqual(Object.keys(unary!).sort(), ['decode', 'encode', 'inference', 'queue', 'receive', 'wait']);
    assert.ok(unary!.inference! >= 4, String(unary!.inference));
    assert.ok(stream!.decode! > 0 && stream!.inference! >= 4);
    assert.ok(failed!.decode! >= 0 && failed!.inference === undefined);
  });
});
