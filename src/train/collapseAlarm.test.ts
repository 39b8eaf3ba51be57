import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collapseAlarms, createCollapseAlarm } from './collapseAlarm.js';
import { parseTrainConfig } from './config.js';
import type { Term } from './loggedTerms.js';
import type { StepRecord } from './runLog.js';

const options = {
  threshold: 0.2,
  steps: 3,
  monitor: 'stde' as const,
  channels: 100,
  symptom: 'All is one',
  hint: 'Do this.',
};
const record = (step: number, monitors: Record<string, number>): StepRecord => ({
  ...{ step, epoch: 0, lr: 0.1, images_per_s: 1, wait_share: 0 },
  ...monitors,
});

/** Steps at which the alarm warns. */
function warnings(values: readonly number[], monitor: Term = 'stde', change = {}): number[] {
  const alarm = createCollapseAlarm({ ...options, monitor, ...change });
  return values.flatMap((value, step) => (alarm.observe(record(step, { [monitor]: value })) ? [step] : []));
}

describe('the collapse alarm', () => {
  // 0.2 / sqrt(100) = 0.02
  const [high, low] = [0.021, 0.019];

  it('warns after the configured number of consecutive steps under the threshold, once per episode', () => {
    assert.deepEqual(warnings([high, low, low, low, low, low, low]), [3]);
    assert.deepEqual(warnings([low, low, high, low, low, high]), []);
  });

  it('warns again only after the run had recovered for as many steps', () => {
    assert.deepEqual(warnings([low, low, low, high, high, low, low, low, low]), [2]);
    assert.deepEqual(warnings([low, low, low, high, high, high, low, low, low]), [2, 8]);
  });

  it('compares each monitor with its own number of channels', () => {
    // 0.2 / sqrt(25) = 0.04
    assert.deepEqual(warnings([0.039, 0.039, 0.039], 'stdm', { channels: 25 }), [2]);
    assert.deepEqual(warnings([0.041, 0.041, 0.041], 'stdm', { channels: 25 }), []);
  });

  it('ignores records without its monitor', () => {
    const alarm = createCollapseAlarm(options);
    for (let step = 0; step < 5; step++) assert.equal(alarm.observe(record(step, { stdr: 0, stdm: 0 })), undefined);
  });

  it('watches each kind of vectors that the loss trains, with advice for the criterion', () => {
    const minimal = { name: 'a', data: { source: 'p' }, crops: {}, model: { expander: [100], localProjector: [25] } };
    /** Warnings of a run whose vectors are all equal. */
    const warningsOf = (loss: object, monitors: object = { stdr: 0, stde: 0, stdm: 0 }) => {
      const keys = { batchSize: 8, epochs: 6, optimizer: { baseLr: 0.1 }, alarm: { collapse: { steps: 1 } } };
      const alarms = collapseAlarms(parseTrainConfig({ ...minimal, ...keys, loss }, 'x'));
      return alarms.flatMap((alarm) => alarm.observe(record(1, { ...monitors })) ?? []);
    };
    const watched = (loss: object, monitors?: object) =>
      warningsOf(loss, monitors).map((text) => /^COLLAPSE: (\w+) is/.exec(text)?.[1]);
    assert.deepEqual(watched({ alpha: 0.75 }), ['stde', 'stdm']);
    assert.deepEqual(watched({ alpha: 1 }), ['stde']);
    assert.deepEqual(watched({ alpha: 0 }), ['stdm']);
    // 0.2 / sqrt(100) and 0.2 / sqrt(25)
    assert.deepEqual(watched({}, { stde: 0.021, stdm: 0.039 }), ['stdm']);
    assert.deepEqual(watched({}, { stde: 0.019, stdm: 0.041 }), ['stde']);
    const [global, local] = warningsOf({ variance: 10, local: { variance: 5 } });
    assert.match(global!, /same embedding to all photographs\. Stop and try a larger loss\.variance \(now 10\)/);
    assert.match(
      local!,
      /all cells of all photographs\. Stop and try a larger loss\.local\.variance \(now 5\), .*batchSize \(now 8\)\.$/,
    );
    assert.match(
      warningsOf({ local: { variance: 0 } })[1]!,
      /give loss\.local\.variance a weight \(now 0; 25 in the paper\)/,
    );
    for (const text of warningsOf({ criterion: 'simclr' })) {
      assert.match(text, /a lower loss\.temperature \(now 0\.15\), a lower optimizer\.baseLr \(now 0\.1\)/);
      assert.doesNotMatch(text, /variance/);
    }
  });

  it('is off with threshold 0', () => {
    assert.deepEqual(warnings([0, 0, 0, 0], 'stde', { threshold: 0 }), []);
  });

  it('reports the measured values and what to do', () => {
    const alarm = createCollapseAlarm({ ...options, steps: 1 });
    assert.equal(
      alarm.observe(record(9, { stde: 0.005 })),
      'COLLAPSE: stde is 0.0050, 0.050 of what evenly spread vectors have, and under 0.2 of it for 1 steps: All is one. ' +
        'Do this.',
    );
  });
});
