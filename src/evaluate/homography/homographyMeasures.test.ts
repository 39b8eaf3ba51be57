import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { ImageError } from '../../image/imageError.js';
import type { RgbImage } from '../../image/types.js';
import { openNearestSession, searchNearest } from '../../match/tiled/search.js';
import { stream } from '../../tensor/random.js';
import { tensor } from '../../tensor/tensor.js';
import type { SubjectMeasures } from '../result/buildResult.js';
import { pixelSubject } from '../subjects/pixelSubject.js';
import type { Subject, SubjectSource } from '../subjects/subject.js';
import { type HomographyOptions, measureHomographies } from './homographyMeasures.js';
import type { PlanarPair, PlanarPairs } from './planarPairs.js';
import { viewOf } from './planarViews.js';

/** Red encodes the column and green the row. */
function gradient(width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    data[i * 3] = i % width;
    data[i * 3 + 1] = Math.floor(i / width);
  }
  return { width, height, data };
}

const shifted = (): PlanarPair => {
  const a = gradient(160, 128);
  const { image: b, toView: aToB } = viewOf(a, { kind: 'rotation', degrees: 0, scale: 1 }, stream(1));
  return { name: 'same', a, b, aToB };
};
const pairsOf = (items: readonly (readonly PlanarPair[] | Error)[]): PlanarPairs => ({
  names: items.map((_, i) => `item ${i}`),
  images: items.length,
  fingerprint: 'test',
  contents: async () => 'test',
  load: async (item) => {
    const pairs = items[item]!;
    if (pairs instanceof Error) throw pairs;
    return pairs;
  },
});

const source: SubjectSource = pixelSubject(new Map([['maps', 8]]));
/** All cells look alike. */
const blind: Subject = {
  stride: 8,
  outputs: new Map([['maps', { channels: 2, stride: 8 }]]),
  provider: 'none',
  runs: 2,
  run: async ({ shape }) => {
    const [rows, columns] = [shape[1]! / 8, shape[2]! / 8];
    return { maps: tensor('float32', [1, rows, columns, 2], new Float32Array(rows * columns * 2).fill(1)) };
  },
  close: async () => undefined,
};

const all = (items: number) => Uint32Array.from({ length: items }, (_, i) => i);
const valuesOf = ({ figures }: SubjectMeasures, items: number) =>
  Object.fromEntries(figures.map(({ name, over }) => [name, over(all(items))]));

describe('homographies of a subject', () => {
  let session: Awaited<ReturnType<typeof openNearestSession>>;
  let options: HomographyOptions;
  before(async () => {
    session = await openNearestSession(1);
    const search: HomographyOptions['search'] = (pair, signal) => searchNearest(session, pair, signal);
    options = { size: { kind: 'native' }, space: 'backbone', seeds: [0, 1], search };
  });
  after(() => session.release());

  it('are exact for a photograph and itself', async () => {
    const subject = await source.open();
    const measured = await measureHomographies(subject, source, pairsOf([[shifted()], [shifted()]]), options);
    const values = valuesOf(measured, 2);
    assert.ok(values['corner_error']! < 1e-6, `${values['corner_error']}`);
    assert.deepEqual(
      ['found_3px', 'found_5px', 'found_10px', 'correct', 'matches', 'inliers'].map((name) => values[name]),
      [1, 1, 1, 1, 20 * 16, 20 * 16],
    );
    assert.ok(values['auc_3px']! > 0.999);
  });

  it('follow the true homography, and not the identity', async () => {
    const a = gradient(224, 224);
    const { image: b, toView: aToB } = viewOf(a, { kind: 'rotation', degrees: 0, scale: 0.5 }, stream(1));
    const subject = await source.open();
    const size = { kind: 'fit', width: 224, height: 224 } as const;
    const pair = { name: 'half', a, b, aToB };
    const values = valuesOf(await measureHomographies(subject, source, pairsOf([[pair]]), { ...options, size }), 1);
    assert.equal(values['found_3px'], 1, JSON.stringify(values));
    const wrong = { ...pair, aToB: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
    const missed = valuesOf(await measureHomographies(subject, source, pairsOf([[wrong]]), { ...options, size }), 1);
    assert.deepEqual([missed['found_10px'], missed['auc_10px']], [0, 0]);
    // Corners at half their distances: errors of 0, 112, 112 and 158.4.
    assert.ok(Math.abs(missed['corner_error']! - (224 + 112 * Math.SQRT2) / 4) < 3, `${missed['corner_error']}`);
  });

  it('count a pair without enough matches as not found', async () => {
    const measured = await measureHomographies(blind, source, pairsOf([[shifted()], [shifted()]]), options);
    const values = valuesOf(measured, 2);
    assert.deepEqual([values['found_10px'], values['auc_10px'], values['matches'], values['inliers']], [0, 0, 1, 0]);
    // Not found is as bad as the diagonal.
    assert.equal(values['corner_error'], Math.hypot(160, 128));
  });

  it('leave out and name pairs that cannot be decoded, and fail without any pair', async () => {
    const broken = new ImageError('corrupt', 'it ends early');
    const subject = await source.open();
    const measured = await measureHomographies(subject, source, pairsOf([broken, [shifted()]]), options);
    assert.deepEqual(measured.skipped, [{ index: 0, name: 'item 0', reason: 'it ends early' }]);
    assert.equal(measured.figures[0]!.perItem!.length, 1);
    await assert.rejects(measureHomographies(subject, source, pairsOf([broken]), options), {
      name: 'DataError',
      code: 'undecodable',
      message: /no pair can be evaluated; 1 cannot be decoded, such as item 0: it ends early/,
    });
  });

  it('take several pairs of one photograph as one item', async () => {
    const subject = await source.open();
    const good = shifted();
    const wrong = { ...good, aToB: [1, 0, 50, 0, 1, 50, 0, 0, 1] };
    const { figures } = await measureHomographies(subject, source, pairsOf([[good, wrong], [good]]), options);
    assert.deepEqual(Array.from(figures[0]!.perItem!), [0.5, 1]);
  });

  it('need a local projector for its space', async () => {
    await assert.rejects(
      measureHomographies(blind, source, pairsOf([[shifted()]]), { ...options, space: 'projector' }),
      /raw pixels has no local projector; use --space backbone/,
    );
  });

  it('reject a size that is not a multiple of the stride', async () => {
    const size = { kind: 'fit', width: 100, height: 96 } as const;
    await assert.rejects(
      measureHomographies(await source.open(), source, pairsOf([[shifted()]]), { ...options, size }),
      {
        name: 'ImageError',
        message: /width is 100, not a multiple of the model's stride 8; use 96 or 104/,
      },
    );
  });

  it('name the pair whose photographs are too large for the network', async () => {
    const wide = { width: 2048, height: 2056, data: new Uint8Array(2048 * 2056 * 3) };
    const pair = { ...shifted(), name: 'wide', a: wide };
    await assert.rejects(measureHomographies(await source.open(), source, pairsOf([[shifted()], [pair]]), options), {
      name: 'DataError',
      message: /^wide: network input of 2048 x 2056 .* exceeds the limit .*\(--resize\)$/,
    });
  });

  it('are drawn for every pair', async () => {
    const drawn: [number, number, string, number | undefined][] = [];
    const subject = await source.open();
    await measureHomographies(subject, source, pairsOf([[shifted()], [shifted(), shifted()]]), {
      ...options,
      drawn: async (item, number, name, png) => {
        drawn.push([item, number, name, (await sharp(png).metadata()).height]);
      },
    });
    assert.deepEqual(
      drawn.toSorted(([a], [b]) => a - b),
      [
        [0, 0, 'same', 512],
        [1, 0, 'same', 512],
        [1, 1, 'same', 512],
      ],
    );
  });
});
