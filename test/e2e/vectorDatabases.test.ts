import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json as readJson } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PGlite } from '@electric-sql/pglite';
import { vector as pgvector } from '@electric-sql/pglite-pgvector';
import { connect } from '@lancedb/lancedb';
import { pino } from 'pino';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { stream } from '../../src/tensor/random.js';
import { long } from '../support/longTests.js';
import { tinyManifest } from '../support/tinyModel.js';

/** The examples of vector databases, with a service over HTTP. */

const run = promisify(execFile);
const example = (name: string): string => fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));

interface Image {
  readonly path: string;
  readonly model: string;
  readonly vector: Float32Array;
}

interface Found {
  readonly path: string;
  readonly similarity: number;
}

interface PgExample {
  typeOf(dimensions: number): string;
  createTable(db: PGlite, image: Pick<Image, 'vector' | 'model'>): Promise<void>;
  store(db: PGlite, image: Image): Promise<unknown>;
  search(db: PGlite, image: Pick<Image, 'vector' | 'model'>, count?: number): Promise<Found[]>;
}

/** Vectors of length 1 at random, with their exact cosine similarities. */
function randomImages(count: number, dimensions: number): Image[] {
  const random = stream(1, 'vectors');
  return Array.from({ length: count }, (_, i) => {
    const values = Float32Array.from({ length: dimensions }, () => random.uniform(-0.5, 0.5));
    const norm = Math.hypot(...values);
    return { path: `${i}.jpg`, model: 'a@1', vector: values.map((value) => value / norm) };
  });
}

function nearest(images: readonly Image[], query: Image): Found[] {
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  return images
    .map(({ path, vector }) => ({ path, similarity: dot(vector, query.vector) }))
    .sort((a, b) => b.similarity - a.similarity);
}

describe('vector databases', long, () => {
  let root: string;
  let photos: string;
  let service: RunningServer;
  let url: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-vectors-'));
    photos = join(root, 'photos');
    await mkdir(photos);
    for (const name of ['astronaut.jpg', 'chelsea.png', 'coffee.jpg'])
      await copyFile(fixture(name), join(photos, name));
    await writeFile(join(photos, 'damaged.jpg'), 'no picture');
    service = await createServer({
      models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
      address: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      metricsAddress: 'off',
      logger: pino({ level: 'silent' }),
    });
    url = `http://${service.httpAddress}`;
  });
  after(async () => {
    await service.close();
    await rm(root, { recursive: true });
  });

  /** Runs an example that searches for the coffee; the photograph itself is found first. */
  async function searches(name: string, ...more: string[]): Promise<void> {
    const query = join(photos, 'coffee.jpg');
    const { stdout, stderr } = await run(process.execPath, [example(name), photos, query, url, ...more], { cwd: root });
    const lines = stdout.trim().split('\n');
    assert.equal(lines.length, 3, stdout);
    assert.equal(lines[0], `1.000 ${query}`);
    assert.match(stderr, /damaged\.jpg: image: image is of unknown format|damaged\.jpg: image/);
  }

  test('pgvector finds a photograph by itself', async () => searches('pgvector.mjs'));

  test('LanceDB finds a photograph by itself, also after a second ingestion', async () => {
    await searches('lancedb.mjs', join(root, 'db'));
    await searches('lancedb.mjs', join(root, 'db'));
    const table = await (await connect(join(root, 'db'))).openTable('images');
    assert.equal(await table.countRows(), 3);
  });

  test('Qdrant is asked as its API says', async () => {
    const points = new Map<string, { vector: number[]; payload: { path: string; model: string } }>();
    const calls: string[] = [];
    const qdrant = createHttpServer(async (request, response) => {
      calls.push(`${request.method} ${request.url}`);
      const body = (request.method === 'GET' ? {} : await readJson(request)) as {
        vectors?: object;
        points?: { id: string; vector: number[]; payload: { path: string; model: string } }[];
        query?: number[];
        limit?: number;
        filter?: { must: { key: string; match: { value: string } }[] };
      };
      let result: unknown = true;
      if (request.url!.endsWith('/exists')) result = { exists: false };
      else if (body.vectors) assert.deepEqual(body.vectors, { size: 16, distance: 'Cosine' });
      else if (body.points) {
        for (const { id, ...point } of body.points) {
          assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
          points.set(id, point);
        }
      } else {
        assert.deepEqual(body.filter, { must: [{ key: 'model', match: { value: 'tiny@1' } }] });
        const scored = [...points.values()].map(({ vector, payload }) => ({
          score: vector.reduce((sum, value, i) => sum + value * body.query![i]!, 0),
          payload,
        }));
        result = { points: scored.sort((a, b) => b.score - a.score).slice(0, body.limit) };
      }
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ result }));
    });
    await new Promise<void>((resolve) => qdrant.listen(0, '127.0.0.1', resolve));
    await searches('qdrant.mjs', `http://127.0.0.1:${(qdrant.address() as AddressInfo).port}`);
    qdrant.close();
    assert.deepEqual(calls, [
      'GET /collections/images/exists',
      'PUT /collections/images',
      'PUT /collections/images/points?wait=true',
      'POST /collections/images/points/query',
    ]);
  });

  test('vectors of more than 2,000 dimensions are indexed as halfvec', async () => {
    const { createTable, search, store, typeOf } = (await import(example('pgvector.mjs'))) as PgExample;
    assert.deepEqual([320, 2000, 2001, 8192].map(typeOf), ['vector', 'vector', 'halfvec', 'halfvec']);
    const db = await PGlite.create({ extensions: { vector: pgvector } });
    const images = randomImages(12, 2048);
    await createTable(db, images[0]!);
    for (const image of images) await store(db, image);
    await store(db, { ...images[0]!, path: 'other.jpg', model: 'b@1' });
    await store(db, images[3]!);
    const { rows } = await db.query<{ indexdef: string }>("SELECT indexdef FROM pg_indexes WHERE tablename = 'images'");
    assert.ok(rows.some(({ indexdef }) => /USING hnsw .*::halfvec\(2048\)\) halfvec_cosine_ops/.test(indexdef)));
    const found = await search(db, images[7]!, 3);
    const expected = nearest(images, images[7]!).slice(0, 3);
    assert.deepEqual(
      found.map(({ path }) => path),
      expected.map(({ path }) => path),
    );
    // Rounded to float16.
    for (const [i, { similarity }] of found.entries()) assert.ok(Math.abs(similarity - expected[i]!.similarity) < 1e-3);
    await db.close();
  });

  test('pgvector finds the images of a model among nearer ones of others, whose vectors may be longer', async () => {
    const { createTable, search, store } = (await import(example('pgvector.mjs'))) as PgExample;
    const db = await PGlite.create({ extensions: { vector: pgvector } });
    const [query, ...images] = randomImages(21, 32) as [Image, ...Image[]];
    const [longer] = randomImages(1, 40) as [Image];
    // Their vectors are the query's: the index has no place for others among the candidates of a search.
    const others = Array.from({ length: 200 }, (_, i) => ({ ...query, path: `other ${i}`, model: "o'b@1" }));
    const long = { ...longer, path: 'long.jpg', model: 'c@1' };
    for (const image of [query, others[0]!, long]) await createTable(db, image);
    for (const image of [...others, ...images, long]) await store(db, image);
    // The planner would not use the index of so small a table.
    for (const way of ['seqscan', 'sort']) await db.query(`SET enable_${way} = off`);
    const paths = async (image: Image) => (await search(db, image)).map(({ path }) => path);
    const expected = nearest(images, query).slice(0, 5);
    assert.deepEqual(
      await paths(query),
      expected.map(({ path }) => path),
    );
    assert.deepEqual(await paths(long), ['long.jpg']);
    await db.close();
  });
});
