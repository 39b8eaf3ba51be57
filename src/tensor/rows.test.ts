import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { classRank, normalisedRows, paddedRows } from './rows.js';
import { tensor } from './tensor.js';

const rows = tensor('float32', [3, 2], Float32Array.of(3, 4, 0, 0, 0, -2));

describe('rows of vectors', () => {
  it('are divided by their norms, and zeros stay', () => {
    const { shape, data } = normalisedRows(rows);
    assert.deepEqual(shape, [3, 2]);
    assert.deepEqual([...data], [...Float32Array.of(0.6, 0.8, 0, 0, 0, -1)]);
  });

  it('are copied in parts, with zeros beyond the last row', () => {
    const part = paddedRows(rows, 2, 2);
    assert.deepEqual(
      [part.shape, [...part.data]],
      [
        [2, 2],
        [0, -2, 0, 0],
      ],
    );
    part.data[0] = 9;
    assert.equal(rows.data[4], 0);
    assert.deepEqual([...paddedRows(rows, 0, 1).data], [3, 4]);
  });
});

describe('the rank of a class', () => {
  it('counts the classes of higher score, and those of equal score before it', () => {
    const scores = Float32Array.of(1, 3, 3, 2);
    assert.deepEqual(
      [0, 1, 2, 3].map((own) => classRank(scores, own)),
      [3, 0, 1, 2],
    );
  });

  it('is behind all classes if a score is not finite', () => {
    assert.equal(classRank(Float64Array.of(1, Number.NaN), 0), 2);
    assert.equal(classRank(Float64Array.of(1, Number.POSITIVE_INFINITY), 1), 2);
  });
});
