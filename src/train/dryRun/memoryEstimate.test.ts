import assert from 'node:assert/strict';
import { it } from 'node:test';
import { convNextConfigs } from '../../nn/convnext.js';
import { adamw } from '../../optim/adamw.js';
import type { StepConfig } from '../stepConfig.js';
import { stepMemory } from './memoryEstimate.js';

it('micro-batches need the memory of fewer photographs, and hold weights and optimizer state once', () => {
  const config: StepConfig = {
    model: { backbone: convNextConfigs['convnext_atto']!, expander: [64, 64, 64], localProjector: [32, 32, 32] },
    loss: {
      alpha: 0.75,
      numMatches: [9, 4],
      featureMatches: 'all',
      weights: { invariance: 25, variance: 25, covariance: 1 },
    },
    optimizer: adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 }),
    batchSize: 64,
    viewSizes: [96, 96],
    pixels: 'uint8',
    dropPath: true,
  };
  const [whole, parts, finer] = [undefined, 16, 4].map((microBatch) =>
    stepMemory({ ...config, ...(microBatch && { microBatch }) }),
  );
  // A pass has one view, the one graph has both: eight times as many images.
  assert.ok(parts!.graph < whole!.graph / 5, `${parts!.graph} of ${whole!.graph}`);
  assert.ok(finer!.graph < parts!.graph / 2, `${finer!.graph} of ${parts!.graph}`);
  // AdamW keeps weights and two moments: six tensors a weight, compared with these three and the gradient.
  assert.equal(parts!.state, (4 / 6) * whole!.state);
  assert.deepEqual(stepMemory({ ...config, microBatch: 64 }), whole);
});
