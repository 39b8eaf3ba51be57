import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { project } from '../../image/homography.js';
import { openPair, openPairsFolder } from './planarPairs.js';

const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
const pair = { name: 'wall', a: { file: 'a.png', width: 40, height: 30 }, b: { file: 'b.png' }, aToB: identity };

describe('planar pairs', () => {
  let root: string;
  let next = 0;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-pairs-'));
  });
  after(() => rm(root, { recursive: true }));

  /** A folder with two pictures and this pairs.json. */
  async function folder(pairs: unknown): Promise<string> {
    const dir = join(root, String(next++));
    await mkdir(dir);
    for (const name of ['a.png', 'b.png']) {
      await sharp({ create: { width: 40, height: 30, channels: 3, background: '#204060' } })
        .png()
        .toFile(join(dir, name));
    }
    await writeFile(join(dir, 'pairs.json'), typeof pairs === 'string' ? pairs : JSON.stringify(pairs));
    return dir;
  }

  it('are read from a folder, with coordinates in which the centre of the first pixel is (0, 0)', async () => {
    const rows = [
      [2, 0, 10],
      [0, 2, 20],
      [0, 0, 1],
    ];
    const pairs = await openPairsFolder(await folder([pair, { ...pair, name: 'zoom', aToB: rows, source: 'x' }]));
    assert.deepEqual([pairs.names, pairs.images], [['wall', 'zoom'], 4]);
    const [zoom] = await pairs.load(1);
    assert.deepEqual([zoom!.name, zoom!.a.width, zoom!.b.height], ['zoom', 40, 30]);
    // The centre of the first pixel of a lies at (10, 20) between centres, which is (10.5, 20.5) from the edge.
    assert.deepEqual(project(zoom!.aToB, { x: 0.5, y: 0.5 }), { x: 10.5, y: 20.5 });
  });

  it('are the same pictures whenever they are read', async () => {
    const dir = await folder([pair]);
    const pairs = await openPairsFolder(dir);
    await pairs.load(0);
    await pairs.load(0);
    await sharp({ create: { width: 40, height: 30, channels: 3, background: '#ffffff' } })
      .png()
      .toFile(join(dir, 'b.png'));
    await assert.rejects(pairs.load(0), { code: 'changed', message: /b\.png has changed since it was first read/ });
  });

  it('have a digest of the contents of all pictures, wherever they are', async () => {
    const [one, same, other] = await Promise.all([1, 2, 3].map(() => folder([pair])));
    await sharp({ create: { width: 40, height: 30, channels: 3, background: '#ffffff' } })
      .png()
      .toFile(join(other!, 'b.png'));
    const [expected, ...digests] = await Promise.all(
      [one!, same!, other!].map(async (dir) => (await openPairsFolder(dir)).contents()),
    );
    assert.deepEqual(
      digests.map((digest) => digest === expected),
      [true, false],
    );
  });

  it('are read from a file with a byte order mark and line ends of Windows', async () => {
    const text = `\uFEFF${JSON.stringify([pair], null, 1).replaceAll('\n', '\r\n')}\r\n`;
    assert.deepEqual((await openPairsFolder(await folder(text))).names, ['wall']);
  });

  it('have a fingerprint that follows names and homographies, and not the folder', async () => {
    const fingerprints = await Promise.all(
      [[pair], [pair], [{ ...pair, aToB: [1, 0, 1, 0, 1, 0, 0, 0, 1] }]].map(
        async (pairs) => (await openPairsFolder(await folder(pairs))).fingerprint,
      ),
    );
    assert.match(fingerprints[0]!, /^1 pairs, sha256 [0-9a-f]{16}$/);
    assert.equal(fingerprints[0], fingerprints[1]);
    assert.notEqual(fingerprints[0], fingerprints[2]);
  });

  it('are rejected before any work if a file is missing or a matrix is not a homography', async () => {
    for (const [pairs, code, message] of [
      [[{ ...pair, b: { file: 'c.png' } }], 'not_found', /pair "wall": .*c\.png cannot be read: there is no such file/],
      [
        [{ ...pair, aToB: [1, 2, 3, 4] }],
        'malformed',
        /pair "wall": a homography is 3 rows of 3 numbers, and this has 4 numbers/,
      ],
      [
        [{ ...pair, aToB: [...identity.slice(1), null] }],
        'malformed',
        /pair "wall": the value in row 3, column 3 .* not a finite/,
      ],
      [[{ ...pair, aToB: new Array(9).fill(1) }], 'malformed', /pair "wall": the homography has no inverse/],
      [[{ name: 'wall', aToB: identity }], 'malformed', /pairs\.json: 0\.a: /],
      [[pair, pair], 'malformed', /two pairs have the name "wall"/],
      [[], 'no_images', /pairs\.json has no pairs/],
      [{}, 'malformed', /pairs\.json: /],
      ['[NaN', 'malformed', /pairs\.json is not valid JSON/],
    ] as const) {
      await assert.rejects(openPairsFolder(await folder(pairs)), { name: 'DataError', code, message });
    }
    await assert.rejects(openPairsFolder(join(root, 'none')), {
      code: 'not_found',
      message: /none.pairs\.json cannot be read/,
    });
  });

  it('are rejected if a picture does not fit its homography', async () => {
    const resized = await openPairsFolder(await folder([{ ...pair, a: { file: 'a.png', width: 80, height: 60 } }]));
    await assert.rejects(resized.load(0), {
      code: 'malformed',
      message: /wall: .*a\.png has 40 x 30 pixels, and its homography is for 80 x 60/,
    });
    const horizon = await openPairsFolder(await folder([{ ...pair, aToB: [1, 0, 0, 0, 1, 0, -0.05, 0, 1] }]));
    await assert.rejects(horizon.load(0), { code: 'malformed', message: /takes a part of picture a to infinity/ });
  });

  it('may be a single pair of files', async () => {
    const dir = await folder([pair]);
    const file = join(dir, 'H.txt');
    await writeFile(file, '1 0 5\n0 1 0\n0 0 1\n');
    const single = await openPair(join(dir, 'a.png'), join(dir, 'b.png'), file);
    assert.deepEqual(single.names, ['a.png b.png']);
    const [loaded] = await single.load(0);
    assert.deepEqual(project(loaded!.aToB, { x: 1, y: 2 }), { x: 6, y: 2 });
  });
});
