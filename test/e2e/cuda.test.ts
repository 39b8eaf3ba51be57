import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingProviderFiles, providerFolder } from '../../src/onnx/cuda/provider.js';
import { vicregl } from '../support/vicregl.js';

const installed = missingProviderFiles().length === 0;

test('vicregl cuda check fails without the provider and prints how to install it', {
  skip: installed && 'the provider is installed here',
}, async () => {
  const { code, stdout, stderr } = await vicregl('cuda', 'check');
  assert.deepEqual([code, stdout], [1, '']);
  const files = 'libonnxruntime_providers_cuda.so and libonnxruntime_providers_shared.so';
  const expected = `vicregl: ${files} not found in ${providerFolder()}: download the provider with npx vicregl cuda install (linux-x64 only) `;
  assert.ok(stderr.startsWith(expected), stderr);
});
