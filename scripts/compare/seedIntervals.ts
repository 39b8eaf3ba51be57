import { percentileInterval } from '../../src/evaluate/bootstrap.js';
import { seedInterval } from '../../src/experiments/statistics/seedInterval.js';
import { type RandomStream, stream } from '../../src/tensor/random.js';

/**
 * How often 95 % intervals over seeds and items contain the true mean, in simulated experiments of 60 items: the interval of
 * `vicregl experiments report`, and a bootstrap that resamples seeds and items (docs/experiments.md, Intervals).
 */

const ITEMS = 60;
const TRIALS = 2000;
const RESAMPLES = 400;

/** Number of seeds, and standard deviations of the effects of seed, item and residual. */
const MIXES = [
  [3, 0.02, 0, 0],
  [3, 0.02, 0.05, 0.05],
  [3, 0.02, 0.2, 0.2],
  [3, 0.001, 0.4, 0.1],
  [3, 0, 0, 0.3],
  [2, 0.02, 0.1, 0.1],
  [5, 0.02, 0.2, 0.2],
] as const;

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Values by seed and item, with true mean 0. */
function draw(random: RandomStream, [seeds, ofSeed, ofItem, residual]: (typeof MIXES)[number]): number[][] {
  const items = Array.from({ length: ITEMS }, () => ofItem * random.normal());
  return Array.from({ length: seeds }, () => {
    const effect = ofSeed * random.normal();
    return items.map((item) => effect + item + residual * random.normal());
  });
}

function bootstrap(perItem: readonly (readonly number[])[], random: RandomStream): readonly [number, number] {
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    const items = Array.from({ length: ITEMS }, () => random.integer(ITEMS));
    return meanOf(
      perItem.map(() => perItem[random.integer(perItem.length)]!).map((row) => meanOf(items.map((i) => row[i]!))),
    );
  });
  return percentileInterval(means);
}

console.log('| seeds | std of seeds | of items | of residuals | analysis of variance | bootstrap |');
console.log('| --- | --- | --- | --- | --- | --- |');
for (const mix of MIXES) {
  const inside = [0, 0];
  for (let trial = 0; trial < TRIALS; trial++) {
    const random = stream(trial, 'intervals');
    const perItem = draw(random, mix);
    const intervals = [seedInterval({ values: perItem.map(meanOf), perItem }).interval!, bootstrap(perItem, random)];
    for (const [i, [low, high]] of intervals.entries()) if (low <= 0 && high >= 0) inside[i]! += 1;
  }
  const shares = inside.map((count) => `${((100 * count) / TRIALS).toFixed(1)} %`);
  console.log(`| ${[...mix, ...shares].join(' | ')} |`);
}
