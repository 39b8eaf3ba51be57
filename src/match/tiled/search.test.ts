import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { turnsWhile } from '../../../test/support/turnsWhile.js';
import type { InferenceSession } from '../../onnx/runtime.js';
import { stream } from '../../tensor/random.js';
import { runSync } from '../../tensor/slices.js';
import { type Nearest, nearestNeighbours, type VectorPair } from '../nearest.js';
import { openNearestSession, searchNearest } from './search.js';

const { signal } = new AbortController();
/** Small enough that a few vectors make several tiles, of uneven sizes at the ends. */
const smallTile = { a: 7, b: 5 };

function normals(count: number, channels: number, seed: number, offset = 0, scale = 1): Float32Array {
  const random = stream(seed, 'vectors');
  return Float32Array.from({ length: count * channels }, () => offset + scale * random.normal());
}

/** Small whole numbers in few channels: distances are exact, and ties and equal vectors are common. */
const smallIntegerPair: fc.Arbitrary<VectorPair> = fc.integer({ min: 1, max: 4 }).chain((channels) => {
  const side = fc
    .integer({ min: 1, max: 30 })
    .chain((count) =>
      fc
        .array(fc.integer({ min: -2, max: 3 }), { minLength: count * channels, maxLength: count * channels })
        .map((values) => Float32Array.from(values)),
    );
  return fc.record({ a: side, b: side, channels: fc.constant(channels) });
});

/** Equal indices; distances up to the rounding of float64 sums of `size`. */
function assertAgree(actual: Nearest, expected: Nearest, size: number): void {
  assert.deepEqual(actual.index, expected.index);
  for (const field of ['squared', 'secondSquared'] as const) {
    for (const [i, value] of actual[field].entries()) {
      const other = expected[field][i]!;
      assert.ok(value === other || Math.abs(value - other) <= 1e-12 * size, `${field}[${i}]: ${value}, ${other}`);
    }
  }
}

describe('searchNearest', () => {
  let session: InferenceSession;
  before(async () => {
    session = await openNearestSession(1);
  });
  after(() => session.release());

  it('agrees with the exact search on maps of small whole numbers, ties included, in both directions', async () => {
    await fc.assert(
      fc.asyncProperty(smallIntegerPair, async (pair) => {
        const exact = runSync(nearestNeighbours(pair));
        const found = await searchNearest(session, pair, signal, smallTile);
        assertAgree(found.fromA, exact.fromA, 0);
        assertAgree(found.fromB, exact.fromB, 0);
        assert.deepEqual([found.normsA, found.normsB], [exact.normsA, exact.normsB]);
      }),
    );
  });

  it('agrees with the exact search on random maps of any size, offset and scale', async () => {
    const cases: fc.Arbitrary<[VectorPair, number]> = fc
      .tuple(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 0, max: 1e6 }),
        fc.constantFrom(0, 0.5, -30),
        fc.constantFrom(1e-25, 1e-3, 1, 1e15),
      )
      .map(([n, m, channels, seed, offset, scale]) => {
        const a = normals(n, channels, seed, offset * scale, scale);
        const b = normals(m, channels, seed + 1, offset * scale, scale);
        return [{ a, b, channels }, scale ** 2 * (1 + offset ** 2) * channels * 10];
      });
    await fc.assert(
      fc.asyncProperty(cases, async ([pair, size]) => {
        const exact = runSync(nearestNeighbours(pair));
        const found = await searchNearest(session, pair, signal, smallTile);
        assertAgree(found.fromA, exact.fromA, size);
        assertAgree(found.fromB, exact.fromB, size);
      }),
    );
  });

  it('agrees with it if a large common offset would exhaust the precision of a product', async () => {
    const [a, b] = [normals(60, 64, 1, 1000, 0.01), normals(80, 64, 2, 1000, 0.01)];
    const pair = { a, b, channels: 64 };
    const exact = runSync(nearestNeighbours(pair));
    const found = await searchNearest(session, pair, signal, smallTile);
    assert.deepEqual([found.fromA.index, found.fromB.index], [exact.fromA.index, exact.fromB.index]);
  });

  it('finds every vector of a map in itself, at distance exactly 0', async () => {
    const a = normals(90, 130, 3);
    const { fromA, fromB } = await searchNearest(session, { a, b: a, channels: 130 }, signal);
    for (const { index, squared } of [fromA, fromB]) {
      assert.deepEqual([...index], [...index.keys()]);
      assert.ok(squared.every((value) => value === 0));
    }
  });

  it('returns the lowest of many equal vectors, in any number of tiles, and reports the tie', async () => {
    const channels = 33;
    const [white, other] = [normals(1, channels, 4), normals(1, channels, 5)];
    const b = new Float32Array(40 * channels);
    for (let j = 0; j < 40; j++) b.set(j === 2 ? other : white, j * channels);
    const a = Float32Array.from([...other, ...white, ...white]);
    const { fromA, fromB } = await searchNearest(session, { a, b, channels }, signal, smallTile);
    assert.deepEqual([...fromA.index], [2, 0, 0]);
    assert.deepEqual([...fromA.squared], [0, 0, 0]);
    assert.deepEqual([...fromA.secondSquared.slice(1)], [0, 0]);
    assert.ok(fromA.secondSquared[0]! > 1);
    assert.deepEqual(
      [...fromB.index],
      [...fromB.index].map((_, j) => (j === 2 ? 0 : 1)),
    );
  });

  it('accepts a vector far larger than the others', async () => {
    const pair = { a: normals(10, 8, 6), b: normals(12, 8, 7), channels: 8 };
    pair.b[17] = 3e30;
    const found = await searchNearest(session, pair, signal, smallTile);
    assert.ok(found.fromA.index.every((index) => index !== 2));
    assert.ok(Number.isFinite(found.fromB.squared[2]!));
  });

  it('finds the nearest of all other vectors, however far a few are from them', async () => {
    const channels = 64;
    const count = 196;
    for (const value of [1e6, 1e7, 1e15, 1e20, 3e38]) {
      // In the first vector, which is a sample of the centre, and in one that is none.
      for (const at of [0, 1]) {
        const pair = { a: normals(count, channels, 8), b: normals(count, channels, 9), channels };
        for (let i = 0; i < 10; i++) pair.a[(at + i * 19) * channels + 5] = value;
        const exact = runSync(nearestNeighbours(pair));
        const found = await searchNearest(session, pair, signal);
        const ordinary = [...Array(count).keys()].filter((i) => (i - at) % 19 !== 0 || i - at > 9 * 19);
        assert.deepEqual(
          ordinary.map((i) => found.fromA.index[i]),
          ordinary.map((i) => exact.fromA.index[i]),
          `${value} at ${at}`,
        );
        assert.deepEqual(found.fromB.index, exact.fromB.index, `${value} at ${at}`);
        const own = await searchNearest(session, { a: pair.a, b: pair.a, channels }, signal);
        assert.ok(
          ordinary.every((i) => own.fromA.index[i] === i && own.fromA.squared[i] === 0),
          `${value} at ${at}`,
        );
      }
    }
  });

  it('rejects values that are not finite, and names the cell', async () => {
    const a = normals(4, 3, 8);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const b = normals(5, 3, 9);
      b[7] = value;
      await assert.rejects(searchNearest(session, { a, b, channels: 3 }, signal), {
        name: 'MatchError',
        code: 'not_finite',
        message: 'b has a feature in cell 2 that is not finite',
      });
    }
  });

  it('yields to the event loop during all of its work, also where one map is a single vector', async () => {
    const [count, channels] = [2048, 1024];
    const a = normals(count, channels, 11);
    const pair = { a, b: a.slice(0, channels), channels };
    // In one tile: 8 slices for the norms, 8 for the factor on the right, 12 for equal vectors.
    for (const each of [pair, { ...pair, a: pair.b, b: pair.a }]) {
      const turns = await turnsWhile(() => searchNearest(session, each, signal, { a: count, b: count }));
      assert.ok(turns >= 24, `${turns} turns`);
    }
  });

  it('stops at the tile during which it is aborted', async () => {
    const controller = new AbortController();
    const a = normals(70, 16, 10);
    let turns = 0;
    const count = setInterval(() => turns++, 0);
    const searching = searchNearest(session, { a, b: a, channels: 16 }, controller.signal, { a: 1, b: 1 });
    setImmediate(() => controller.abort(new Error('given up')));
    await assert.rejects(searching, /given up/);
    clearInterval(count);
    assert.ok(turns < 1000, `${turns} turns for 4,900 tiles`);
    await assert.rejects(searchNearest(session, { a, b: a, channels: 16 }, controller.signal), /given up/);
  });
});
