/**
 * What ONNX Runtime's CUDA provider of the pinned version needs: the one list behind the image, the checks and the messages.
 *
 * Read from the provider itself, libonnxruntime_providers_cuda.so of ONNX Runtime 1.29.0, whose build is also on npm:
 *
 *   npm pack com.github.asus4.onnxruntime.linux-x64-gpu@0.4.9
 *   tar xf com.github.asus4.onnxruntime.linux-x64-gpu-0.4.9.tgz
 *   readelf -d package/Plugins/Linux/x64/libonnxruntime_providers_cuda.so | grep NEEDED    (the linked ones)
 *   strings package/Plugins/Linux/x64/libonnxruntime_providers_cuda.so | grep '\.so'       (most of those loaded later)
 *
 * `vicregl cuda check` compares it with the provider that is installed. Not here: glibc's and GCC's own libraries, and cuFFT
 * (libcufft.so.12), which the provider loads for Rfft and Irfft alone; no graph of ours has one.
 */

/** A shared library of CUDA. */
export interface CudaLibrary {
  /** Its name for the dynamic loader. */
  readonly file: string;
  /** Its name for people. */
  readonly name: string;
  /** Debian and Ubuntu package in NVIDIA's archive; absent if the driver brings it. */
  readonly package?: string;
  /**
   * `start`: linked, the provider cannot be loaded without it. `use`: loaded when an operator first needs it, so that a
   * session opens without it and the first run fails.
   */
  readonly loadedAt: 'start' | 'use';
}

/** Version of ONNX Runtime that the list is of. */
export const PROVIDER_VERSION = '1.29.0';

/** CUDA release that the provider was built for, and the oldest driver that runs it (NVIDIA's release notes). */
export const CUDA = { version: '13.0', oldestDriver: 580 } as const;

export const CUDA_LIBRARIES: readonly CudaLibrary[] = [
  { file: 'libcuda.so.1', name: 'the NVIDIA driver', loadedAt: 'start' },
  { file: 'libcudart.so.13', name: 'the CUDA runtime', package: 'cuda-cudart-13-0', loadedAt: 'start' },
  { file: 'libcublas.so.13', name: 'cuBLAS', package: 'libcublas-13-0', loadedAt: 'start' },
  { file: 'libcublasLt.so.13', name: 'cuBLASLt', package: 'libcublas-13-0', loadedAt: 'start' },
  { file: 'libcurand.so.10', name: 'cuRAND', package: 'libcurand-13-0', loadedAt: 'start' },
  { file: 'libcudnn.so.9', name: 'cuDNN', package: 'libcudnn9-cuda-13', loadedAt: 'use' },
  // by cuDNN, for kernels that it compiles on the spot
  { file: 'libnvrtc.so.13', name: 'NVRTC', package: 'cuda-nvrtc-13-0', loadedAt: 'use' },
];
