import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCollapseAlarm } from './collapseAlarm.js';
import type { StepRecord } from './runLog.js';

const options = { threshold: 0.2, steps: 3, channels: { stde: 100, stdr: 25 }, hint: 'Do this.' };
const record = (step: number, monitors: Record<string, number>): StepRecord => ({
  ...{ step, epoch: 0, lr: 0.1, images_per_s: 1, wait_share: 0 },
  ...monitors,
});

/** Steps at which the alarm speaks. */
function warnings(values: readonly number[], monitor = 'stde', change = {}): number[] {
  const alarm = createCollapseAlarm({ ...options, ...change });
  return values.flatMap((value, step) => (alarm.observe(record(step, { [monitor]: value })) ? [step] : []));
}

describe('the collapse alarm', () => {
  // 0.2 / sqrt(100) = 0.02
  const [high, low] = [0.021, 0.019];

  it('speaks at the last of so many steps in a row under the threshold, once an episode', () => {
    assert.deepEqual(warnings([high, low, low, low, low, low, low]), [3]);
    assert.deepEqual(warnings([low, low, high, low, low, high]), []);
  });

  it('speaks again only when the run had recovered for as long', () => {
    assert.deepEqual(warnings([low, low, low, high, high, low, low, low, low]), [2]);
    assert.deepEqual(warnings([low, low, low, high, high, high, low, low, low]), [2, 8]);
  });

  it('measures each monitor against its own number of channels', () => {
    // 0.2 / sqrt(25) = 0.04
    assert.deepEqual(warnings([0.039, 0.039, 0.039], 'stdr'), [2]);
    assert.deepEqual(warnings([0.041, 0.041, 0.041], 'stdr'), []);
  });

  it('watches the embedding where there is one', () => {
    const alarm = createCollapseAlarm(options);
    for (let step = 0; step < 5; step++) assert.equal(alarm.observe(record(step, { stdr: 0, stde: high })), undefined);
  });

  it('is silent with threshold 0', () => {
    assert.deepEqual(warnings([0, 0, 0, 0], 'stde', { threshold: 0 }), []);
  });

  it('says what it saw and what to do', () => {
    const alarm = createCollapseAlarm({ ...options, steps: 1 });
    assert.equal(
      alarm.observe(record(9, { stde: 0.005 })),
      'COLLAPSE: stde is 0.0050, 0.050 of what evenly spread vectors have, and under 0.2 of it for 1 steps: the network ' +
        'gives nearly the same vector to all photographs. Do this.',
    );
  });
});
