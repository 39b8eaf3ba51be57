import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runSync } from '../../tensor/slices.js';
import { emptyNearest, squaredNorms } from '../nearest.js';
import { findEqual, refine } from './refine.js';

const normsOf = (data: Float32Array, channels: number) => runSync(squaredNorms('a', data, channels));

function equalOf(data: Float32Array, channels: number) {
  const { lowest, repeated } = runSync(findEqual(data, channels, normsOf(data, channels)));
  return { lowest: [...lowest], repeated: [...repeated] };
}

/** Different vectors of one norm that differ in their last channels: the bits of their index as signs. */
function signs(count: number, channels: number): Float32Array {
  const data = new Float32Array(count * channels).fill(1);
  for (let i = 0; i < count; i++) {
    for (let bit = 0; 2 ** bit < count; bit++) if ((i >> bit) & 1) data[(i + 1) * channels - 1 - bit] = -1;
  }
  return data;
}

describe('findEqual', () => {
  it('finds the lowest of equal vectors among others of the same norm; -0 equals 0', () => {
    const vectors = [
      [1, 0],
      [0, 1],
      [-0, 1],
      [2, 0],
      [0, 1],
      [1, -0],
      [0, -1],
      [0, -1],
    ];
    assert.deepEqual(equalOf(Float32Array.from(vectors.flat()), 2), {
      lowest: [0, 1, 1, 3, 1, 0, 6, 6],
      repeated: [1, 1, 1, 0, 1, 1, 1, 1],
    });
  });

  it('reads each vector a few times, also where all have one norm and differ only at their ends', () => {
    const [count, channels] = [512, 18];
    const data = signs(count, channels);
    let reads = 0;
    const counted = new Proxy(data, {
      get(target, key) {
        reads++;
        return target[key as unknown as number];
      },
    });
    const { lowest, repeated } = runSync(findEqual(counted, channels, normsOf(data, channels)));
    assert.deepEqual([...lowest], [...lowest.keys()]);
    assert.ok(repeated.every((each) => each === 0));
    assert.ok(reads <= 4 * data.length, `${reads} reads of ${data.length} elements`);
  });

  it('pauses', () => {
    const [count, channels] = [4096, 64];
    const data = signs(count, channels);
    const steps = findEqual(data, channels, normsOf(data, channels));
    let pauses = 0;
    while (steps.next().done !== true) pauses++;
    assert.ok(pauses >= 8, `${pauses} pauses`);
  });
});

describe('refine', () => {
  /** The decision for the vector (0) among four candidates on a line, whose approximate squared distances are given. */
  function decide(places: readonly number[], values: readonly number[], slack: number) {
    const data = Float32Array.from(places);
    const result = emptyNearest(1);
    refine(
      Float32Array.of(0),
      1,
      runSync(findEqual(data, 1, normsOf(data, 1))),
      { kept: places.length, values: Float32Array.from(values), indices: Int32Array.from(places.keys()) },
      { first: 0, end: 1 },
      () => slack,
      result,
    );
    return { index: result.index[0], squared: result.squared[0], second: result.secondSquared[0] };
  }

  it('decides by exact distances among the candidates that rounding may have put behind the second', () => {
    // The third is nearer than the second, and the fourth than the first, which nobody looks at beyond the slack.
    const places = [1, 2, 1.5, 0.5];
    const values = [0.5, 4, 4.25, 4.75];
    assert.deepEqual(decide(places, values, 1), { index: 3, squared: 0.25, second: 1 });
    assert.deepEqual(decide(places, values, 0.5), { index: 0, squared: 1, second: 2.25 });
    assert.deepEqual(decide(places, values, 0.25), { index: 0, squared: 1, second: 2.25 }, 'at the slack itself');
    assert.deepEqual(decide(places, values, 0.125), { index: 0, squared: 1, second: 4 });
  });

  it('answers with the lowest of equally near vectors, whose second distance is that of the nearest', () => {
    assert.deepEqual(decide([3, -1, 1, 2], [9, 1, 1, 4], 100), { index: 1, squared: 1, second: 1 });
    assert.deepEqual(decide([2, 1, 3, 1], [4, 1, 9, 1], 100), { index: 1, squared: 1, second: 1 });
  });
});
