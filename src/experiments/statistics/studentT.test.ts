import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { studentT } from './studentT.js';

describe('studentT', () => {
  it('has the quantiles of tables, and of scipy.stats.t.ppf(0.975, df) for fractions', () => {
    const expected: readonly [number, number][] = [
      [1, 12.706204736174698],
      [2, 4.302652729749464],
      [2.5, 3.5746548420036817],
      [3, 3.182446305283708],
      [10, 2.2281388519862735],
      [37.25, 2.025733544775226],
      [1e6, 1.9599663569],
    ];
    for (const [degrees, t] of expected) assert.ok(Math.abs(studentT(degrees) / t - 1) < 1e-7, `${degrees}`);
    assert.ok(Math.abs(studentT(4, 0.9) - 2.13184678632665) < 1e-9);
  });

  it('refuses what is out of range', () => {
    assert.throws(() => studentT(0), RangeError);
    assert.throws(() => studentT(3, 1), RangeError);
  });
});
