import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CudaCause, explainCudaFailure, type KnownLibrary } from './failure.js';

const libraries: readonly KnownLibrary[] = [
  { file: 'libcublasLt.so.13', name: 'cuBLASLt', package: 'libcublas-13-0' },
  { file: 'libcudnn.so.9', name: 'cuDNN', package: 'libcudnn9-cuda-13' },
];
const missing = (file: string) => `${file}: cannot open shared object file: No such file or directory`;

/** Message, cause, reason and remedy. */
const cases: readonly (readonly [string, CudaCause, RegExp, RegExp | undefined])[] = [
  [
    `Failed to load library libonnxruntime_providers_cuda.so with error: ${missing('libcublasLt.so.13')}`,
    'library',
    /^libcublasLt\.so\.13 of cuBLASLt is not found$/,
    /libcublas-13-0.*LD_LIBRARY_PATH/,
  ],
  [missing('libcurand.so.10'), 'library', /^libcurand\.so\.10 is not found$/, /^Install it, or put its folder/],
  [missing('libcudnn.so.9'), 'library', /^libcudnn\.so\.9 of cuDNN is not found$/, /libcudnn9-cuda-13/],
  ['Conv_1: cuDNN library was not found', 'library', /^libcudnn\.so\.9 of cuDNN is not found$/, /libcudnn9-cuda-13/],
  [
    'Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9}',
    'library',
    /^libcudnn_ops\.so\.9\.1\.0 of cuDNN/,
    /libcudnn9-cuda-13/,
  ],
  [
    missing('/app/node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so'),
    'provider',
    /CUDA provider \(libonnxruntime_providers_cuda\.so\) is not installed/,
    /npm run install:cuda/,
  ],
  [missing('libonnxruntime_providers_shared.so'), 'provider', /providers_shared\.so\) is not/, /npm run install:cuda/],
  [missing('libcuda.so.1'), 'driver', /libcuda\.so\.1 of NVIDIA's driver is not found/, /--gpus all/],
  [
    'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=0',
    'driver',
    /driver is too old.*CUDA failure 35/,
    /Update the driver/,
  ],
  ['CUDA failure 100: no CUDA-capable device is detected', 'device', /no CUDA device is found/, /CUDA_VISIBLE_DEVICES/],
  ['CUDA failure 209: no kernel image is available for execution on the device', 'device', /card is older/, undefined],
  ['CUDA failure 46: all CUDA-capable devices are busy or unavailable', 'device', /another process/, /compute mode/],
  ['CUDA failure 2: out of memory ; GPU=0 ; hostname=a', 'memory', /memory does not suffice/, /nvidia-smi/],
  [
    'This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.',
    'kernels',
    /no kernel for/,
    undefined,
  ],
  ['CUDA execution provider is not enabled in this build. ', 'platform', /build of ONNX Runtime has no CUDA/, /Linux/],
  [
    '/usr/lib/libcublas.so.13: undefined symbol: cublasLtFoo, version libcublasLt.so.13',
    'library',
    /^libcublas\.so\.13 is another version/,
    /ldd/,
  ],
  ['OrtSessionOptionsAppendExecutionProvider_Cuda: something else\nand more', 'other', /^something else$/, undefined],
];

describe('why CUDA cannot be used', () => {
  for (const [said, cause, reason, wayOut] of cases) {
    it(`is "${cause}" for the message "${said.slice(0, 60)}"`, () => {
      const failure = explainCudaFailure([said], libraries);
      assert.equal(failure.cause, cause);
      assert.match(failure.reason, reason);
      if (wayOut === undefined) assert.equal(failure.wayOut, undefined);
      else assert.match(failure.wayOut!, wayOut);
    });
  }

  it('suggests to install the provider only if it is missing', () => {
    for (const [said, cause] of cases) {
      const { wayOut = '' } = explainCudaFailure([said], libraries);
      assert.equal(/install:cuda/.test(wayOut), cause === 'provider', said);
    }
  });

  it("prefers the loader's message to the runtime's, which is less specific", () => {
    const { reason } = explainCudaFailure([missing('libcudart.so.13'), 'Failed to load shared library'], libraries);
    assert.equal(reason, 'libcudart.so.13 is not found');
  });
});
