import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseTrainConfig } from '../config.js';
import { stepConfigOf } from '../plan.js';
import { memoryWarnings } from './memoryAdvice.js';
import { stepMemory } from './memoryEstimate.js';

it('the proposal of micro-batches says what becomes of batch normalisation, where there is any', () => {
  const advice = (architecture: string) => {
    const keys = {
      ...{ name: 'a', data: { source: 'x' }, batchSize: 8, epochs: 1, crops: { size: 32 } },
      model: { architecture, depths: [1, 1], widths: [8, 16], expander: [8], localProjector: [8] },
      loss: { numMatches: [4, 4] },
    };
    const config = stepConfigOf(parseTrainConfig(keys, 'x.yaml'), undefined);
    const least = stepMemory({ ...config, microBatch: 2 });
    const memory = { ...stepMemory(config), program: 0, batches: 0, cache: 0 };
    // A machine with just enough room for the smallest, and a run that needs a byte more than it has.
    const bytes = Math.ceil(1.25 * (least.state + least.graph + least.program));
    const [warning, ...others] = memoryWarnings(config, { ...memory, program: bytes + 1 }, { bytes, limit: 'machine' });
    assert.deepEqual(others, []);
    return warning!;
  };
  assert.match(
    advice('resnet_basic'),
    /; --micro-batch \d needs at least \S+ GiB; with it batch normalisation takes its statistics over \d photographs, not over the 8 of the batch,/,
  );
  assert.match(advice('custom'), /; --micro-batch \d needs at least \S+ GiB$/);
});
