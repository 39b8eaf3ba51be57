import assert from 'node:assert/strict';
import { it } from 'node:test';
import { tensorLocations } from './tensorLocations.js';

// docs/training.md, What a GPU needs: if a new version fails here, weights can perhaps stay on the GPU.
it('onnxruntime-node takes inputs from ordinary memory alone and returns outputs there, whatever is asked', async () => {
  assert.deepEqual(await tensorLocations('cpu'), [
    { what: 'output with preferredOutputLocation cpu-pinned', result: 'in cpu memory' },
    { what: 'output with preferredOutputLocation gpu-buffer', result: 'in cpu memory' },
    {
      what: 'input from Tensor.fromPinnedBuffer',
      result: "refused: Tensor.location must be 'gpu-buffer' for IO binding.",
    },
  ]);
});
