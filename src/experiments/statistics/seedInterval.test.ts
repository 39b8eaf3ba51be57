import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stream } from '../../tensor/random.js';
import { pairedValues, seedInterval } from './seedInterval.js';
import { studentT } from './studentT.js';

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

interface Effects {
  readonly seed: number;
  readonly item: number;
  readonly residual: number;
}

/** Share of experiments of which the interval contains the true mean, 0.3. */
function coverage(seeds: number, items: number, effects: Effects): number {
  const trials = 1000;
  let inside = 0;
  for (let trial = 0; trial < trials; trial++) {
    const random = stream(trial, 'coverage');
    const ofItem = Array.from({ length: items }, () => effects.item * random.normal());
    const perItem = Array.from({ length: seeds }, () => {
      const ofSeed = effects.seed * random.normal();
      return ofItem.map((b) => 0.3 + ofSeed + b + effects.residual * random.normal());
    });
    const { interval } = seedInterval({ values: perItem.map(meanOf), perItem });
    if (interval![0] <= 0.3 && interval![1] >= 0.3) inside += 1;
  }
  return inside / trials;
}

describe('seedInterval', () => {
  // A share of 95 % of 1,000 trials has a standard error of 0.7 points, and Satterthwaite's degrees of freedom are approximate.
  const cases: readonly [string, number, Effects][] = [
    ['seeds differ most', 3, { seed: 0.02, item: 0.05, residual: 0.05 }],
    ['items differ most', 3, { seed: 0.001, item: 0.4, residual: 0.1 }],
    ['neither differs: residuals alone', 3, { seed: 0, item: 0, residual: 0.3 }],
    ['both differ', 5, { seed: 0.02, item: 0.2, residual: 0.2 }],
  ];
  for (const [what, seeds, effects] of cases) {
    it(`contains the true mean in about 95 % of all experiments, or more, where ${what}`, () => {
      const share = coverage(seeds, 60, effects);
      assert.ok(share > 0.92, `${share}`);
    });
  }

  it('is that of the analysis of variance, computed by hand', () => {
    // Seed means 2 and 4, item means 2, 4; no residual: Var = (MS_seeds + MS_items) / 4 = (4 + 4) / 4.
    const { value, interval, over } = seedInterval({
      values: [2, 4],
      perItem: [
        [1, 3],
        [3, 5],
      ],
    });
    assert.deepEqual([value, over], [3, 'seeds and items']);
    // Satterthwaite: 2^2 / (1^2 / 1 + 1^2 / 1) = 2 degrees of freedom.
    const half = 4.302652729749464 * Math.SQRT2;
    assert.ok(Math.abs(interval![0] - (3 - half)) < 1e-9 && Math.abs(interval![1] - (3 + half)) < 1e-9);
  });

  it("is Student's over seeds where nothing is known of items, and over items with one seed", () => {
    const seeds = seedInterval({ values: [1, 2, 3] });
    assert.equal(seeds.over, 'seeds');
    assert.ok(Math.abs(seeds.interval![1] - (2 + 4.302652729749464 / Math.sqrt(3))) < 1e-9);
    const items = seedInterval({ values: [0.5], perItem: [[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]] });
    assert.equal(items.over, 'items');
    assert.deepEqual(seedInterval({ values: [0.5] }), { value: 0.5 });
  });

  it('adds the variance over items of a figure that is no mean over them', () => {
    const { interval, over } = seedInterval({ values: [0.4, 0.5, 0.6], itemVariances: [0.01, 0.01, 0.01] });
    assert.equal(over, 'seeds and items');
    // Var = 0.01 / 3 + 0.01, with (0.04 / 3)^2 / ((0.01 / 3)^2 / 2) = 32 degrees of freedom.
    const half = studentT(32) * Math.sqrt(0.04 / 3);
    assert.ok(Math.abs(interval![0] - (0.5 - half)) < 1e-5 && Math.abs(interval![1] - (0.5 + half)) < 1e-5);
  });

  it('of paired differences is narrow where both variants differ alike', () => {
    const baseline = {
      values: [0.5, 0.6],
      perItem: [
        [0, 1, 0.5],
        [0.1, 1.1, 0.6],
      ],
    };
    const variant = { values: [0.6, 0.7], perItem: baseline.perItem.map((items) => items.map((x) => x + 0.1)) };
    const { value, interval } = seedInterval(pairedValues(variant, baseline));
    assert.ok(Math.abs(value - 0.1) < 1e-12);
    assert.ok(interval![1] - interval![0] < 1e-12);
  });

  it('refuses items that differ in number', () => {
    assert.throws(() => seedInterval({ values: [1, 2], perItem: [[1], [1, 2]] }), RangeError);
    assert.throws(() => seedInterval({ values: [] }), RangeError);
  });
});
