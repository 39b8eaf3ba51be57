import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import sharp from 'sharp';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { withFeatures } from '../../src/evaluate/subjects/modelSubject.js';
import { writeSegmentationHead } from '../../src/heads/segmentationFolder.js';
import { encodeSegmentationHead } from '../../src/heads/segmentationGraph.js';
import { openModelFolder } from '../../src/models/folder.js';
import { ServeError } from '../../src/serve/call/serveError.js';
import { createServer } from '../../src/serve/server.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { tinyManifest } from '../support/tinyModel.js';
import { vicregl } from '../support/vicregl.js';

/** The programs in examples/, each in its own process, with a service that has the bundled model. */

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));

const photographs = ['astronaut.jpg', 'chelsea.png', 'coffee.jpg'];
/** Size of a strip in pixels. */
const STRIP = { width: 224, height: 448 } as const;

/** One of the four vertical strips of a photograph, stretched to `STRIP`. */
async function strip(name: string, part: number): Promise<Buffer> {
  const file = await photo(name);
  const size = await sharp(file).metadata();
  const width = Math.floor(size.width / 4);
  const cut = sharp(file).extract({ left: part * width, top: 0, width, height: size.height });
  return cut.resize(STRIP.width, STRIP.height, { fit: 'fill' }).png().toBuffer();
}

interface Example {
  readonly child: ChildProcess;
  readonly url: string;
}

/** Starts an example and waits for the line with its address. */
async function startExample(name: string, ...args: string[]): Promise<Example> {
  const script = fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));
  const child = spawn(process.execPath, [script, ...args, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /http:\S+/.exec(line)?.[0];
    if (url !== undefined) return { child, url };
  }
  throw new Error(`${name} ended before it listened`);
}

async function stop({ child }: { readonly child: ChildProcess }): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
}

/** A form with the files a and b for fetch. Its length must be known, because fetch would otherwise send it in chunks. */
async function matchForm(names: Readonly<Record<string, string>>) {
  const data = new FormData();
  for (const [field, name] of Object.entries(names)) data.set(field, new File([await photo(name)], name));
  return encoded(data);
}

async function encoded(value: FormData | string) {
  const response = new Response(value);
  return { body: await response.arrayBuffer(), headers: { 'content-type': response.headers.get('content-type')! } };
}

describe('examples', () => {
  let served: ServedProcess;
  let root: string;
  let head: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-examples-'));
    head = join(root, 'head');
    const staged = await withFeatures(await openModelFolder(bundledModelFolder), { stages: true }, join(root, 'model'));
    served = await startServedProcess('--model', staged.dir);
    await trainHead();
  });
  after(async () => {
    await stop(served);
    await rm(root, { recursive: true });
  });

  /** Trains a head on strips of a quarter of the width of each photograph: the first and the third, of which each is one class. */
  async function trainHead(): Promise<void> {
    const data = join(root, 'data');
    for (const folder of ['images', 'masks']) await mkdir(join(data, folder), { recursive: true });
    for (const [label, name] of photographs.entries()) {
      for (const part of [0, 2]) {
        await writeFile(join(data, 'images', `${label}${part}.png`), await strip(name, part));
        const raw = { width: STRIP.width, height: STRIP.height, channels: 1 as const };
        const mask = sharp(new Uint8Array(raw.width * raw.height).fill(label), { raw }).toColourspace('b-w');
        await writeFile(join(data, 'masks', `${label}${part}.png`), await mask.png().toBuffer());
      }
    }
    await writeFile(join(data, 'classes.txt'), 'astronaut\ncat\ncoffee\n');
    const flags = [
      '--steps',
      '100',
      '--crop',
      '128',
      '--batch',
      '3',
      '--lr',
      '0.1',
      '--no-flip',
      '--baseline',
      'pixels',
    ];
    const ended = await vicregl(
      'evaluate',
      'segmentation',
      '--device',
      'cpu',
      '--data',
      data,
      '--test',
      data,
      ...flags,
      '--out-head',
      head,
    );
    assert.equal(ended.code, 0, ended.stderr);
  }

  test('the segmentation backend separates the parts of an image that it was not trained on', async (t) => {
    const example = await startExample('segmentation.mjs', head, served.address);
    t.after(() => example.child.kill());
    // A strip of each photograph that was not used in training, side by side.
    const { width, height } = STRIP;
    const strips = await Promise.all(
      photographs.map(async (name, i) => ({ input: await strip(name, 1), left: i * width, top: 0 })),
    );
    const blank = { width: 3 * width, height, channels: 3, background: '#000000' } as const;
    const mosaic = await sharp({ create: blank }).composite(strips).jpeg({ quality: 95 }).toBuffer();
    const response = await fetch(example.url, { method: 'POST', body: new Uint8Array(mosaic) });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-classes'), 'astronaut,cat,coffee');
    const { data, info } = await sharp(await response.arrayBuffer())
      .raw()
      .toBuffer({ resolveWithObject: true });
    assert.deepEqual({ width: info.width, height: info.height }, { width: 3 * width, height });
    const right = [0, 0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < 3 * width; x++) {
        const part = Math.floor(x / width);
        if (data[(y * 3 * width + x) * info.channels] === part) right[part]!++;
      }
    }
    const shares = right.map((count) => count / (width * height));
    // Chance would be a third of each.
    for (const share of shares) assert.ok(share > 0.45, `shares of each part: ${shares}`);
    assert.ok(shares.reduce((a, b) => a + b) / 3 > 0.6, `shares of each part: ${shares}`);

    const bad = await fetch(example.url, { method: 'POST', body: 'no picture' });
    assert.equal(bad.status, 400);
    await stop(example);
  });

  test('the matching API finds an image in itself, and gives the reason when it rejects a request', async (t) => {
    const example = await startExample('matching.mjs', served.address);
    t.after(() => example.child.kill());
    const post = async (query: string, form: Awaited<ReturnType<typeof encoded>>) => {
      const response = await fetch(`${example.url}${query}`, { method: 'POST', ...form });
      return { status: response.status, value: (await response.json()) as Record<string, unknown> };
    };
    const same = await post('?top=0&mutual=true', await matchForm({ a: 'coffee.jpg', b: 'coffee.jpg' }));
    assert.equal(same.status, 200, JSON.stringify(same.value));
    const pairs = same.value['pairs'] as { a: object; b: object; similarity: number }[];
    assert.equal(pairs.length, 14 * 14);
    for (const { a, b, similarity } of pairs) {
      assert.deepEqual(a, b);
      assert.ok(similarity > 0.999);
    }
    assert.equal((await post('?top=5', await matchForm({ a: 'coffee.jpg', b: 'chelsea.png' }))).status, 200);
    const missing = await post('', await matchForm({ a: 'coffee.jpg' }));
    assert.deepEqual(missing, { status: 400, value: { error: 'the form has no file "b"' } });
    const ratio = await post('?ratio=7', await matchForm({ a: 'coffee.jpg', b: 'coffee.jpg' }));
    assert.equal(ratio.status, 400);
    assert.match(String(ratio.value['error']), /ratio/);
    for (const [query, error] of [
      ['?top=', 'top: "" is not a number'],
      ['?ratio=Infinity', 'ratio: "Infinity" is not a number'],
      ['?mutual=1', 'mutual: "1" is not true or false'],
      ['?mutual=toString', 'mutual: "toString" is not true or false'],
      ['?gamma=5', 'gamma: no such option; there are top, ratio, similarity, mutual'],
    ] as const) {
      const odd = await post(query, await matchForm({ a: 'coffee.jpg', b: 'coffee.jpg' }));
      assert.deepEqual(odd, { status: 400, value: { error } });
    }
    assert.equal((await post('', await encoded('no form'))).status, 400);
    const { hostname, port } = new URL(example.url);
    const odd = request({ hostname, port, path: '//', method: 'POST' }).end();
    const [response] = (await once(odd, 'response')) as [IncomingMessage];
    assert.equal(response.resume().statusCode, 404);
    await stop(example);
  });

  test('both tell their callers how many seconds to wait, as the service does', async (t) => {
    const engine = createFakeEngine({ manifest: { ...tinyManifest, files: {} } });
    const service = await createServer({
      models: [{ engine }],
      address: '127.0.0.1:0',
      metricsAddress: 'off',
      logger: pino({ level: 'silent' }),
    });
    t.after(() => service.close());
    // A head of the last map: this model has no stages.
    const last = join(root, 'last');
    const spec = { maps: [{ name: 'maps', channels: 16, stride: 8 }], classes: 2, dropout: 0 };
    const vector = (length: number) => tensor('float32', [length], new Float32Array(length).fill(1));
    const weights = new Map<string, Tensor>(
      ['bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var'].map((name) => [name, vector(16)]),
    );
    weights.set('conv.weight', vector(32)).set('conv.bias', vector(2));
    const classes = ['a', 'b'].map((name): { name: string; colour: [number, number, number] } => ({
      name,
      colour: [0, 0, 0],
    }));
    const model = { name: tinyManifest.name, version: tinyManifest.version, digest: '' };
    const about = {
      created: new Date().toISOString(),
      protocol: '',
      stride: 8,
      inputStride: 8,
      window: { side: 512, step: 341 },
      scores: {},
    };
    await writeSegmentationHead(
      'head',
      last,
      { ...about, classes, maps: spec.maps, model },
      encodeSegmentationHead(spec, weights),
    );
    const [matching, segmentation] = await Promise.all([
      startExample('matching.mjs', service.address),
      startExample('segmentation.mjs', last, service.address),
    ]);
    t.after(() => {
      for (const { child } of [matching!, segmentation!]) child.kill();
    });
    const limit = { name: 'queueImages', value: 256 };
    const overloaded = new ServeError('overloaded', 'the queue is full', { limit, retryAfterSeconds: 2.25 });
    t.mock.method(engine, 'run', () => Promise.reject(overloaded));
    const match = await fetch(matching!.url, {
      method: 'POST',
      ...(await matchForm({ a: 'coffee.jpg', b: 'chelsea.png' })),
    });
    assert.deepEqual([match.status, match.headers.get('retry-after')], [429, '3']);
    const segment = await fetch(segmentation!.url, { method: 'POST', body: new Uint8Array(await photo('coffee.jpg')) });
    assert.deepEqual([segment.status, segment.headers.get('retry-after')], [503, '3']);
  });
});
