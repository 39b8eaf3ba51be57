import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkResumedSettings } from './resume.js';

describe('settings of a resumed run', () => {
  it('may be a group of which every key may change', () => {
    checkResumedSettings([
      ...[
        'epochs=3',
        'optimizer.baseLr=0.01',
        'checkpoints.best.metric=top1',
        'checkpoints={every: 5, best: {metric: l}}',
      ],
      ...[
        'alarm={collapse: {steps: 7}}',
        'alarm=null',
        'checkpoints=null',
        'optimizer={baseLr: 0.01}',
        'data={workers: 2}',
      ],
    ]);
  });

  for (const [setting, where] of [
    ['seed=1', ''],
    ['optimizer.kind=sgd', ''],
    ['optimizer=null', ''],
    ['data=null', ''],
    ['optimizer={baseLr: 0.01, kind: sgd}', 'optimizer.kind: '],
    ['data={workers: 2, source: other}', 'data.source: '],
    ['crops={small: {count: 2}}', 'crops.small.count: '],
    ['crops.scale=[0.1, 1]', ''],
  ] as const) {
    it(`rejects ${setting}`, () => {
      assert.throws(
        () => checkResumedSettings(['epochs=3', setting]),
        ({ name, message }: Error) =>
          name === 'ConfigError' &&
          message.startsWith(`--set ${setting}: ${where}a resumed run may change optimizer keys`),
      );
    });
  }
});
