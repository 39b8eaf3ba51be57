import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { matchDistances } from './distance.js';
import { type CellFeatures, matchFeatures } from './features.js';

function row(channels: number, ...vectors: number[][]): CellFeatures {
  return { rows: 1, columns: vectors.length, channels, data: Float32Array.from(vectors.flat()) };
}

/** Small whole numbers: distances are exact, and ties are common. */
function featureMap(channels: number): fc.Arbitrary<CellFeatures> {
  return fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })).chain(([rows, columns]) =>
    fc
      .array(fc.integer({ min: -3, max: 3 }), {
        minLength: rows * columns * channels,
        maxLength: rows * columns * channels,
      })
      .map((values) => ({ rows, columns, channels, data: Float32Array.from(values) })),
  );
}

const mapPair = fc
  .integer({ min: 1, max: 9 })
  .chain((channels) => fc.tuple(featureMap(channels), featureMap(channels)));

const vector = (map: CellFeatures, cell: number) => [
  ...map.data.subarray(cell * map.channels, (cell + 1) * map.channels),
];
const l2 = (a: number[], b: number[]) => Math.hypot(...a.map((value, i) => value - b[i]!));

/** Every source with its first nearest target, in plain loops. */
function nearestByHand(a: CellFeatures, b: CellFeatures) {
  return Array.from({ length: a.rows * a.columns }, (_, source) => {
    const distances = Array.from({ length: b.rows * b.columns }, (__, cell) => l2(vector(a, source), vector(b, cell)));
    const distance = Math.min(...distances);
    return { source, target: distances.findIndex((other) => Math.abs(other - distance) < 1e-9), distance };
  });
}

describe('matchFeatures', () => {
  it('pairs every source with its nearest target, ties with the lower index', () => {
    fc.assert(
      fc.property(mapPair, ([a, b]) => {
        const matches = matchFeatures(a, b, { order: 'source' });
        const expected = nearestByHand(a, b);
        assert.deepEqual(
          matches.map(({ source, target }) => ({ source, target })),
          expected.map(({ source, target }) => ({ source, target })),
        );
        for (const [i, { distance }] of matches.entries()) assert.ok(Math.abs(distance - expected[i]!.distance) < 1e-6);
      }),
    );
  });

  it('keeps the topGamma nearest pairs, of ties the lower source, in either order', () => {
    fc.assert(
      fc.property(mapPair, fc.double({ min: 0.01, max: 1, noNaN: true }), ([a, b], share) => {
        const topGamma = Math.ceil(share * a.rows * a.columns);
        const all = matchFeatures(a, b, { order: 'source' });
        const kept = matchFeatures(a, b, { topGamma });
        assert.deepEqual(
          kept,
          all.toSorted((m, n) => m.distance - n.distance || m.source - n.source).slice(0, topGamma),
        );
        assert.deepEqual(
          matchFeatures(a, b, { topGamma, order: 'source' }),
          kept.toSorted((m, n) => m.source - n.source),
        );
      }),
    );
  });

  it('matches a map with itself at distance exactly 0 and similarity 1', () => {
    const data = Float32Array.from({ length: 25 * 512 }, (_, i) => Math.fround(Math.sin(i * i)));
    const map = { rows: 5, columns: 5, channels: 512, data };
    for (const { source, target, distance, similarity } of matchFeatures(map, map, { mutual: true })) {
      assert.deepEqual([target, distance, similarity], [source, 0, 1]);
    }
  });

  it('with mutual keeps a pair only if each is the nearest of the other', () => {
    const a = row(1, [0], [1], [10]);
    const b = row(1, [0.4], [11], [30]);
    assert.deepEqual(
      matchFeatures(a, b, { order: 'source' }).map(({ source, target }) => [source, target]),
      [
        [0, 0],
        [1, 0],
        [2, 1],
      ],
    );
    assert.deepEqual(
      matchFeatures(a, b, { mutual: true, order: 'source' }).map(({ source, target }) => [source, target]),
      [
        [0, 0],
        [2, 1],
      ],
    );
  });

  it('with ratio drops pairs whose second target is nearly as near', () => {
    const a = row(1, [0], [10]);
    const b = row(1, [1], [-1.1], [10.5]);
    // Source 0: 1 and 1.1; source 1: 0.5 and 9.
    assert.deepEqual(
      matchFeatures(a, b, { ratio: 0.8 }).map(({ source, target }) => [source, target]),
      [[1, 2]],
    );
    assert.equal(matchFeatures(a, b, { ratio: 0.95 }).length, 2);
    assert.equal(matchFeatures(row(1, [0]), row(1, [2], [2]), { ratio: 1 }).length, 0, 'an exact tie is ambiguous');
  });

  it('filters before topGamma is applied', () => {
    const a = row(1, [0], [10]);
    const b = row(1, [0], [0], [10.5]); // source 0 is nearest of all, but ambiguous
    assert.deepEqual(
      matchFeatures(a, b, { ratio: 0.8, topGamma: 1 }).map(({ source }) => source),
      [1],
    );
  });

  it('with cosine compares directions, with distances between unit vectors', () => {
    const a = row(2, [10, 0]);
    const b = row(2, [9, 5], [1, 0.01]);
    assert.equal(matchFeatures(a, b)[0]?.target, 0);
    const [match] = matchFeatures(a, b, { distance: 'cosine' });
    assert.equal(match?.target, 1);
    assert.ok(Math.abs(match!.distance - Math.sqrt(2 - 2 * match!.similarity)) < 1e-6);
    assert.ok(Math.abs(match!.similarity - 1 / Math.hypot(1, 0.01)) < 1e-6);
  });

  it('with centredCosine compares what is left without the mean of both maps', () => {
    // A large common part hides the directions: the cosine of a's cell is nearly 1 with all, and highest with the wrong one.
    const a = row(2, [100, 3], [100, -3]);
    const b = row(2, [100, -9], [100, 9]);
    const [match, other] = matchFeatures(a, b, { distance: 'centredCosine', order: 'source' });
    // The mean is (100, 0): left are (0, 3), (0, -3) and (0, -9), (0, 9).
    assert.deepEqual(match, { source: 0, target: 1, distance: 0, similarity: 1 });
    assert.deepEqual(other, { source: 1, target: 0, distance: 0, similarity: 1 });
    const shifted = (map: CellFeatures) => ({ ...map, data: map.data.map((value) => value + 7) });
    assert.deepEqual(matchFeatures(shifted(a), shifted(b), { distance: 'centredCosine', order: 'source' }), [
      match,
      other,
    ]);
    assert.deepEqual(
      matchFeatures(a, row(2, [5, 5]), { distance: 'cosine' }).map(({ target }) => target),
      [0, 0],
    );
    const same = matchFeatures(row(2, [5, 5]), row(2, [5, 5]), { distance: 'centredCosine' });
    assert.deepEqual(same, [{ source: 0, target: 0, distance: 0, similarity: 0 }], 'nothing is left of equal vectors');
  });

  it('with centredCosine takes the mean over all cells of maps of different sizes', () => {
    const a = row(2, [4, 0]);
    const b = row(2, [0, 0], [4, 4], [-8, -12]);
    // The sum (0, -8) over 4 cells is (0, -2): left are (4, 2) and (0, 2), (4, 6), (-8, -10).
    const cosine = (x: number, y: number) => (4 * x + 2 * y) / (Math.hypot(4, 2) * Math.hypot(x, y));
    const expected = [cosine(0, 2), cosine(4, 6), cosine(-8, -10)];
    const [match] = matchFeatures(a, b, { distance: 'centredCosine' });
    assert.equal(match!.target, 1);
    assert.ok(Math.abs(match!.similarity - expected[1]!) < 1e-6, `${match!.similarity}`);
    const back = matchFeatures(b, a, { distance: 'centredCosine', order: 'source' });
    for (const { source, similarity } of back) {
      assert.ok(Math.abs(similarity - expected[source]!) < 1e-6, `${source}: ${similarity}`);
    }
  });

  it('names the cell that is not finite for every distance', () => {
    const bad = row(2, [0, 1], [Number.POSITIVE_INFINITY, 0]);
    for (const distance of matchDistances) {
      assert.throws(() => matchFeatures(bad, row(2, [1, 1]), { distance }), {
        code: 'not_finite',
        message: /^a has .* cell 1 /,
      });
    }
  });

  it('returns the same similarity for both distances, filters by it, and defines it as 0 for a zero vector', () => {
    const a = row(2, [1, 1], [0, 0], [-1, 0]);
    const b = row(2, [2, 0]);
    for (const distance of ['l2', 'cosine'] as const) {
      const similarities = matchFeatures(a, b, { distance, order: 'source' }).map(({ similarity }) => similarity);
      assert.ok(Math.abs(similarities[0]! - Math.SQRT1_2) < 1e-6);
      assert.equal(similarities[1], 0);
      assert.ok(Math.abs(similarities[2]! + 1) < 1e-6);
      assert.deepEqual(
        matchFeatures(a, b, { distance, minSimilarity: 0.5 }).map(({ source }) => source),
        [0],
      );
    }
  });

  it('rejects input that cannot be matched, and names it', () => {
    const map = row(2, [1, 2], [3, 4]);
    const cases: [() => unknown, RegExp, string?][] = [
      [() => matchFeatures(map, row(1, [1])), /a has 2 channels and b has 1/, 'bad_input'],
      [
        () => matchFeatures({ ...map, rows: 2 }, map),
        /a\.data of 2 x 2 cells with 2 channels needs 8 numbers, got 4/,
        'bad_input',
      ],
      [() => matchFeatures(map, { ...map, columns: 0 }), /b\.columns is 0/, 'bad_input'],
      [() => matchFeatures(map, map, { topGamma: 3 }), /topGamma 3 is more than the 2 cells of the source map/],
      [() => matchFeatures(map, map, { topGamma: 0 }), /topGamma is 0/],
      [() => matchFeatures(map, map, { topGamma: 1.5 }), /topGamma is 1.5/],
      [() => matchFeatures(map, map, { ratio: 0 }), /ratio is 0;/],
      [() => matchFeatures(map, map, { ratio: 1.1 }), /ratio is 1.1/],
      [() => matchFeatures(map, map, { ratio: Number.NaN }), /ratio is NaN/],
      [() => matchFeatures(map, row(2, [1, 2]), { ratio: 0.8 }), /second-nearest/],
      [() => matchFeatures(map, map, { minSimilarity: 2 }), /minSimilarity is 2/],
      [
        () => matchFeatures(map, row(2, [0, 1], [Number.NaN, 0])),
        /b has a feature in cell 1 that is not finite/,
        'not_finite',
      ],
    ];
    for (const [act, message, code = 'bad_option'] of cases) assert.throws(act, { name: 'MatchError', code, message });
  });
});
