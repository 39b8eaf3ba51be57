import assert from 'node:assert/strict';
import { it } from 'node:test';
import { convNext } from '../../../test/support/trainingSteps.js';
import { stateSpecs } from '../../optim/state.js';
import { elementCount } from '../../tensor/tensor.js';
import { networkSpecs } from '../networkSpecs.js';
import { busBytes } from './busEstimate.js';

it('a step moves its state to the GPU and back once for every run, and in micro-batches its weights for every pass', () => {
  const specs = networkSpecs(convNext);
  const bytes = (values: readonly { shape: readonly number[] }[]) =>
    values.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
  const [weights, state] = [bytes(specs.parameters), bytes(stateSpecs(specs, convNext))];
  assert.ok(weights > 0 && state > weights);
  assert.deepEqual(busBytes(convNext, 1000, 1), { state: 2 * state, batch: 1000 });
  assert.deepEqual(busBytes(convNext, 1000, 8), { state: state / 4, batch: 1000 });
  const parts = 2;
  const micro = { ...convNext, microBatch: convNext.batchSize / parts };
  const passes = parts * convNext.viewSizes.length;
  // Forward: weights in. Backward: weights and sums in, sums out. Update: gradients and state in, state out.
  const expected = passes * (weights + 3 * weights) + weights + 2 * state;
  assert.deepEqual(busBytes(micro, 1000, 1), { state: expected, batch: 2000 });
});
