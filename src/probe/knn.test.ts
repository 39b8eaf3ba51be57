import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { stream } from '../tensor/random.js';
import { tensor } from '../tensor/tensor.js';
import { createKnn, type LabelledVectors, topShare } from './knn.js';

function vectors(rows: readonly (readonly number[])[], labels: readonly number[]): LabelledVectors {
  const data = Float32Array.from(rows.flat());
  return { vectors: tensor('float32', [rows.length, rows[0]!.length], data), labels: Uint32Array.from(labels) };
}

function randomVectors(count: number, channels: number, classes: number, seed: number): LabelledVectors {
  const random = stream(seed, 'vectors');
  const rows = Array.from({ length: count }, () => Array.from({ length: channels }, () => random.normal()));
  return vectors(
    rows,
    rows.map(() => random.integer(classes)),
  );
}

/** The definition, by sorting all similarities. */
function slowRank(bank: LabelledVectors, query: Float32Array, own: number, k: number, t: number, classes: number) {
  const [count, channels] = bank.vectors.shape as [number, number];
  const norm = (v: Float32Array) => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  const similarities = Array.from({ length: count }, (_, i) => {
    const row = bank.vectors.data.subarray(i * channels, (i + 1) * channels);
    return { i, cosine: row.reduce((sum, x, c) => sum + x * query[c]!, 0) / (norm(row) * norm(query)) };
  });
  similarities.sort((a, b) => b.cosine - a.cosine);
  const scores = Array.from({ length: classes }, () => 0);
  for (const { i, cosine } of similarities.slice(0, k)) scores[bank.labels[i]!]! += Math.exp(cosine / t);
  return scores.filter((score, c) => score > scores[own]! || (score === scores[own] && c < own)).length;
}

describe('k-NN classification', () => {
  const knn = createKnn({ k: 3, temperature: 0.07, classes: 4 }, { threads: 1 });
  after(() => knn.close());

  it('ranks classes as the definition does, over several batches of queries', async () => {
    const [bank, queries] = [randomVectors(40, 6, 4, 1), randomVectors(300, 6, 4, 2)];
    const expected = Array.from(queries.labels, (own, q) =>
      slowRank(bank, queries.vectors.data.subarray(q * 6, (q + 1) * 6), own, 3, 0.07, 4),
    );
    assert.deepEqual([...(await knn.ranks(bank, queries))], expected);
    assert.ok(new Set(expected).size === 4); // all ranks occur
  });

  it('a near neighbour outvotes two far ones at a low temperature, and loses at a high one', async () => {
    const bank = vectors(
      [
        [1, 0],
        [1, 1],
        [1, -1],
      ],
      [0, 1, 1],
    );
    const query = vectors([[5, 0]], [0]);
    assert.deepEqual([...(await knn.ranks(bank, query))], [0]);
    const warm = createKnn({ k: 3, temperature: 10, classes: 4 });
    assert.deepEqual([...(await warm.ranks(bank, query))], [1]);
    await warm.close();
  });

  it('classifies by the nearest neighbour of each class at the lowest temperatures, and by their number at the highest', async () => {
    const bank = vectors(
      [
        [1, 0],
        [1, 0.1],
        [1, 0.5],
        [1, 1],
        [1, -1],
      ],
      [2, 1, 0, 0, 0],
    );
    const queries = vectors(
      [
        [5, 0],
        [5, 0],
        [5, 0],
        [5, 0],
      ],
      [0, 1, 2, 3],
    );
    for (const [temperature, expected] of [
      [0.001, [2, 1, 0, 3]],
      [1e-5, [2, 1, 0, 3]],
      [Number.MIN_VALUE, [2, 1, 0, 3]],
      [100, [0, 2, 1, 3]],
      [Number.MAX_VALUE, [0, 2, 1, 3]],
    ] as const) {
      const own = createKnn({ k: 5, temperature, classes: 4 });
      assert.deepEqual([...(await own.ranks(bank, queries))], expected, `temperature ${temperature}`);
      await own.close();
    }
  });

  it('in place gives the same ranks, and leaves the normalised vectors', async () => {
    const [bank, queries] = [randomVectors(40, 6, 4, 1), randomVectors(30, 6, 4, 2)];
    const before = bank.vectors.data.slice();
    const expected = await knn.ranks(bank, queries);
    assert.deepEqual(bank.vectors.data, before);
    const own = createKnn({ k: 3, temperature: 0.07, classes: 4, inPlace: true }, { threads: 1 });
    assert.deepEqual(await own.ranks(bank, queries), expected);
    await own.close();
    for (const { vectors: rows } of [bank, queries]) {
      assert.ok(Math.abs(Math.hypot(...rows.data.subarray(0, 6)) - 1) < 1e-6);
    }
  });

  it('the length of a vector does not matter, and a vector of zeros is similar to none', async () => {
    const bank = vectors(
      [
        [0.001, 0],
        [0, 1000],
        [0, 0],
      ],
      [0, 1, 2],
    );
    const queries = vectors(
      [
        [100, 1],
        [1, 100],
      ],
      [0, 1],
    );
    assert.deepEqual([...(await knn.ranks(bank, queries))], [0, 0]);
  });

  it('a vector that is not finite is never classified correctly', async () => {
    const bank = randomVectors(10, 2, 4, 1);
    assert.deepEqual([...(await knn.ranks(bank, vectors([[Number.NaN, 1]], [0])))], [4]);
  });

  it('a vector of the bank that is not finite is no neighbour, wherever it stands', async () => {
    const [bank, queries] = [randomVectors(12, 3, 4, 1), randomVectors(30, 3, 4, 2)];
    const damaged = (places: readonly number[], value: number) => {
      const data = bank.vectors.data.slice();
      for (const place of places) data[place * 3 + 1] = value;
      return { vectors: tensor('float32', [12, 3], data), labels: bank.labels };
    };
    const without = (places: readonly number[]) => {
      const rows = Array.from({ length: 12 }, (_, i) => i).filter((i) => !places.includes(i));
      return vectors(
        rows.map((i) => [...bank.vectors.data.subarray(i * 3, (i + 1) * 3)]),
        rows.map((i) => bank.labels[i]!),
      );
    };
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const places of [[0], [5], [11], [0, 1, 2, 7]]) {
        assert.deepEqual(await knn.ranks(damaged(places, value), queries), await knn.ranks(without(places), queries));
      }
    }
    // Fewer than k are left, or none.
    const all = Array.from({ length: 12 }, (_, i) => i);
    const one = createKnn({ k: 1, temperature: 0.07, classes: 4 });
    const expected = await one.ranks(without(all.slice(1)), queries);
    await one.close();
    assert.deepEqual(await knn.ranks(damaged(all.slice(1), Number.NaN), queries), expected);
    assert.deepEqual([...(await knn.ranks(damaged(all, Number.NaN), queries))], Array(30).fill(4));
  });

  it('rejects fewer vectors than neighbours, and options out of range', async () => {
    await assert.rejects(knn.ranks(randomVectors(2, 2, 4, 1), randomVectors(1, 2, 4, 1)), {
      name: 'RangeError',
      message: 'k is 3, but the bank has only 2 vectors; lower k or give more images',
    });
    assert.throws(() => createKnn({ k: 0, temperature: 1, classes: 2 }), /k is 0/);
    assert.throws(() => createKnn({ k: 1, temperature: 0, classes: 2 }), /temperature is 0/);
  });
});

it('top-n is the share of ranks below n', () => {
  assert.equal(topShare(Uint32Array.of(0, 1, 4, 5), 1), 0.25);
  assert.equal(topShare(Uint32Array.of(0, 1, 4, 5), 5), 0.75);
});
