import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { it } from 'node:test';

// docs/training.md, What a GPU needs: if a new version fails here, weights can perhaps stay on the GPU.
it('onnxruntime-node takes inputs from ordinary memory alone and returns outputs there, whatever is asked', () => {
  const script = 'dist/scripts/cuda/tensorLocations.js';
  const lines = execFileSync(process.execPath, [script, '--device', 'cpu'], { encoding: 'utf8' }).trim().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line) as unknown),
    [
      { what: 'output with preferredOutputLocation cpu-pinned', result: 'in cpu memory' },
      { what: 'output with preferredOutputLocation gpu-buffer', result: 'in cpu memory' },
      {
        what: 'input from Tensor.fromPinnedBuffer',
        result: "refused: Tensor.location must be 'gpu-buffer' for IO binding.",
      },
    ],
  );
});
