import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import sharp from 'sharp';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { ServeError } from '../../src/serve/call/serveError.js';
import { createServer } from '../../src/serve/server.js';
import { type ServedProcess, startServedProcess } from '../support/servedProcess.js';
import { tinyManifest } from '../support/tinyModel.js';

/** The programs in examples/, each in its own process, with a service that has the bundled model. */

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));

interface Example {
  readonly child: ChildProcess;
  readonly url: string;
}

/** Starts an example and waits for the line with its address. */
async function startExample(name: string, address: string): Promise<Example> {
  const script = fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));
  const child = spawn(process.execPath, [script, address, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
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
  before(async () => {
    served = await startServedProcess();
  });
  after(() => stop(served));

  test('the segmentation backend separates the parts of an image that it was not trained on', async (t) => {
    const example = await startExample('segmentation.mjs', served.address);
    t.after(() => example.child.kill());
    // A strip of each photograph that was not used in training, side by side.
    const [width, height] = [448, 896];
    const strips = await Promise.all(
      ['astronaut.jpg', 'chelsea.png', 'coffee.jpg'].map(async (name, i) => {
        const file = await photo(name);
        const size = await sharp(file).metadata();
        const quarter = Math.floor(size.width / 4);
        const strip = sharp(file).extract({ left: quarter, top: 0, width: quarter, height: size.height });
        const input = await strip.resize(width, height, { fit: 'fill' }).png().toBuffer();
        return { input, left: i * width, top: 0 };
      }),
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
    const levels = [0, 128, 255];
    const right = [0, 0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < 3 * width; x++) {
        const part = Math.floor(x / width);
        if (data[(y * 3 * width + x) * info.channels] === levels[part]) right[part]!++;
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
    assert.equal(pairs.length, 49);
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
    assert.equal((await post('', await encoded('no form'))).status, 400);
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
    const [matching, segmentation] = await Promise.all(
      ['matching.mjs', 'segmentation.mjs'].map((name) => startExample(name, service.address)),
    );
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
