import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { placements } from '../../scripts/cuda/profilePlacement.js';

const kernel = (op_name: string, provider: string, dur: number) => ({
  cat: 'Node',
  name: `${op_name}_1_kernel_time`,
  dur,
  args: { op_name, provider },
});

describe('placements', () => {
  it('sums kernels by operator and provider, longest first, without copies and other events', () => {
    const events = [
      { cat: 'Session', name: 'model_run', dur: 1000 },
      kernel('Conv', 'CUDAExecutionProvider', 5),
      kernel('TopK', 'CPUExecutionProvider', 40),
      kernel('MemcpyToHost', 'CUDAExecutionProvider', 90),
      { ...kernel('Conv', 'CUDAExecutionProvider', 7), name: 'Conv_1_fence_before' },
      kernel('Conv', 'CUDAExecutionProvider', 6),
    ];
    assert.deepEqual(placements(JSON.stringify(events)), [
      { operator: 'TopK', provider: 'CPUExecutionProvider', count: 1, microseconds: 40 },
      { operator: 'Conv', provider: 'CUDAExecutionProvider', count: 2, microseconds: 11 },
    ]);
  });

  it('rejects a profile without kernels, which would show nothing', () => {
    assert.throws(() => placements('[]'), /no time of an operator/);
  });
});
