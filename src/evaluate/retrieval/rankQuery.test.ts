import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stream } from '../../tensor/random.js';
import { rankQuery } from './rankQuery.js';

const ranked = (similarities: number[], relevant: number[], skip?: number) =>
  rankQuery(Float32Array.from(similarities), (place) => relevant.includes(place), skip);

describe('the ranking of a query', () => {
  it('has the mean of the precisions at the relevant images, and the place of the first', () => {
    // Order: 2 (other), 0 (relevant), 3 (other), 1 (relevant): precisions 1/2 and 2/4.
    assert.deepEqual(ranked([0.8, 0.1, 0.9, 0.5], [0, 1]), { averagePrecision: 0.5, firstRelevant: 1 });
    assert.deepEqual(ranked([0.8, 0.7, 0.1], [0, 1]), { averagePrecision: 1, firstRelevant: 0 });
  });

  it('counts equal similarities together, and against the first relevant image', () => {
    // A collapsed network: the precision is the share of relevant images, in any order.
    assert.deepEqual(ranked([1, 1, 1, 1], [0]), { averagePrecision: 0.25, firstRelevant: 3 });
    assert.deepEqual(ranked([1, 1, 1, 1], [3]), { averagePrecision: 0.25, firstRelevant: 3 });
  });

  it('leaves the query itself out', () => {
    assert.deepEqual(ranked([1, 0.2, 0.5], [0, 1], 0), { averagePrecision: 0.5, firstRelevant: 1 });
    assert.ok(Number.isNaN(ranked([1, 0.2, 0.5], [0], 0).averagePrecision));
  });

  it('puts what is not finite behind all', () => {
    assert.deepEqual(ranked([Number.NaN, 0.2, -0.5], [0]), { averagePrecision: 1 / 3, firstRelevant: 2 });
  });

  it('agrees with a sorted gallery', () => {
    const random = stream(3);
    const similarities = Array.from({ length: 200 }, () => random.uniform(-1, 1));
    const relevant = Array.from({ length: 200 }, (_, i) => i).filter(() => random.bernoulli(0.2));
    const order = similarities.map((_, i) => i).sort((a, b) => similarities[b]! - similarities[a]!);
    let hits = 0;
    let sum = 0;
    for (const [rank, place] of order.entries()) if (relevant.includes(place)) sum += ++hits / (rank + 1);
    const found = ranked(similarities, relevant);
    assert.ok(Math.abs(found.averagePrecision - sum / relevant.length) < 1e-12);
    assert.equal(
      found.firstRelevant,
      order.findIndex((place) => relevant.includes(place)),
    );
  });
});
