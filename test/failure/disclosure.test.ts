import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServiceError } from '@grpc/grpc-js';
import { pino } from 'pino';
import { createClient, type Embedding, type Settled, VicreglError } from '../../src/client/index.js';
import { EngineError } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { FeatureOpError } from '../../src/featureOps/featureOpError.js';
import { ImageError } from '../../src/image/imageError.js';
import { MatchError } from '../../src/match/matchError.js';
import { ModelFolderError } from '../../src/models/modelFolderError.js';
import { ServeError } from '../../src/serve/call/serveError.js';
import { createServer } from '../../src/serve/server.js';
import { tinyManifest } from '../support/tinyModel.js';

/** Internal errors belong in the log of the operator. Callers must receive no path, stack or environment of the machine. */

/** A marker in all text that a caller must not see. */
const SECRET = 'secret-of-the-machine';
const path = `/srv/${SECRET}/backbone.onnx`;
const loading = `Load model from ${path} failed:/onnxruntime_src/onnxruntime/core/graph/model.cc:181 bad`;

const thrown: readonly (readonly [string, () => unknown])[] = [
  ['a runtime that cannot load', () => new EngineError('unavailable', loading)],
  ['a runtime that fails', () => new EngineError('internal', `inference failed: ${loading}`)],
  ['a runtime that has no memory', () => new EngineError('out_of_memory', `bfc_arena.cc ${path} failed to allocate`)],
  ['a batch that we built wrongly', () => new EngineError('invalid_input', `${SECRET} is wrong`)],
  ['a file of libvips', () => new ImageError('corrupt', `image cannot be decoded as tiff: unable to open ${path}`)],
  ['a temporary name', () => new ImageError('too_large', `no room in "/tmp/${SECRET}-0-1234.v"`)],
  ['a match', () => new MatchError('bad_input', `matcher: ${path}`)],
  ['regions', () => new FeatureOpError('bad_region', `mask file:///srv/${SECRET}/mask.png`)],
  ['a cause in our words', () => new ServeError('invalid_argument', `field: ${path}`, { cause: new Error('x') })],
  ['a model folder', () => new ModelFolderError(`${path} has sha256 0, expected 1`)],
  ['the file system', () => Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' })],
  ['a child process', () => new Error(`spawn C:\\${SECRET}\\node.exe EMFILE`)],
  [
    'a programming error',
    () => new TypeError(`${SECRET} is not a function\n    at run (file:///srv/${SECRET}/a.js:1:2)`),
  ],
  ['several at once', () => new AggregateError([new Error(path)], `PATH=${SECRET}`)],
  ['no error at all', () => `HOME=${SECRET}`],
];

const pixels = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(7) };

/** All parts of an error that were sent: texts and the bytes of the trailing metadata. */
function travelled(error: VicreglError): string {
  const cause = error.cause as ServiceError;
  const trailer = Object.values(cause.metadata?.toHttp2Headers() ?? {}).flat();
  const decoded = trailer.map((value) => `${value} ${Buffer.from(String(value), 'base64').toString('latin1')}`);
  return [error.message, cause.details, ...decoded].join('\n');
}

test('callers receive only a reason, and the log has the details with the request id', async (t) => {
  let failure: unknown;
  const lines: Record<string, unknown>[] = [];
  const fake = createFakeEngine({ manifest: { ...tinyManifest, files: {} } });
  const engine = {
    ...fake,
    run: async () => {
      throw failure;
    },
  };
  const server = await createServer({
    models: [{ engine }],
    address: '127.0.0.1:0',
    metricsAddress: 'off',
    // The logger of the service, whose lines include stacks and causes.
    logger: pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) }),
  });
  const client = createClient({ address: server.address, deadlineMs: 20_000 });
  t.after(async () => {
    await client.close();
    await server.close();
  });

  for (const [what, make] of thrown) {
    await t.test(what, async () => {
      failure = make();
      for (const call of [
        () => client.embed(pixels),
        () => client.features(pixels),
        () => client.match(pixels, pixels),
        () => client.storeFeatures(pixels),
      ]) {
        lines.length = 0;
        const error = await call().then(
          () => assert.fail('it was answered'),
          (error: unknown) => error as VicreglError,
        );
        assert.ok(error instanceof VicreglError);
        assert.doesNotMatch(travelled(error), new RegExp(`${SECRET}|onnxruntime_src|/srv/|\\n\\s+at `));
        assert.ok(error.message.length > 10, 'no reason is given');
        const logged = lines.filter(({ requestId }) => requestId === error.requestId && requestId !== undefined);
        assert.ok(JSON.stringify(logged).includes(SECRET), `the log lacks it: ${JSON.stringify(lines)}`);
      }
      lines.length = 0;
      const items: Settled<Embedding>[] = [...(await client.embedBatch([pixels, pixels]))];
      for await (const item of client.embedStream([{ id: 'a', image: pixels }])) items.push(item);
      assert.equal(items.length, 3);
      for (const item of items) {
        assert.ok(item.status === 'rejected');
        assert.doesNotMatch(item.reason.message, new RegExp(SECRET));
      }
      const logged = lines.filter(({ requestId }) => typeof requestId === 'string');
      assert.ok(JSON.stringify(logged).includes(SECRET), `the log lacks it: ${JSON.stringify(lines)}`);
    });
  }
});
