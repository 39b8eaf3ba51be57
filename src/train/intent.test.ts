import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseTrainConfig } from './config.js';
import { intentWarnings } from './intent.js';
import { configWarnings, scheduleOf } from './plan.js';

const warnings = (keys: object) => {
  const config = parseTrainConfig({ name: 'a', data: { source: 'x' }, batchSize: 8, epochs: 6, ...keys }, 'x.yaml');
  assert.deepEqual(
    intentWarnings(config),
    configWarnings(config, scheduleOf(config, 10), 'cpu'),
    'a run and a dry run print them',
  );
  return intentWarnings(config);
};

it('small views that show more of the photograph than the large ones get a warning', () => {
  assert.deepEqual(warnings({ crops: { scale: [0.05, 0.1], small: { count: 2, scale: [0.9, 1] } } }), [
    'crops.small.scale [0.9,1] begins where crops.scale [0.05,0.1] ends: every small view shows more of the photograph than ' +
      'the large ones, which are the pivots; exchange the two',
  ]);
  assert.deepEqual(warnings({ crops: { scale: [0.05, 0.1], small: { count: 2, scale: [0.09, 1] } } }), []);
  assert.deepEqual(warnings({ crops: { small: { count: 2 } } }), []);
});

it('a mode that keeps the worst checkpoint gets one', () => {
  assert.match(
    warnings({ checkpoints: { best: { mode: 'max' } } }).join(),
    /^checkpoints\.best\.mode is max, and [\s\S]*=min$/,
  );
});
