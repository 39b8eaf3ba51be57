import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Folder of the onnxruntime-node package that this one uses. */
export const runtimePackage = (): string =>
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));

/** The only platform for which onnxruntime-node has a CUDA provider. */
export const CUDA_PLATFORM = 'linux-x64';

/** Folder of ONNX Runtime's library and its providers. */
export const providerFolder = (runtime = runtimePackage()): string => join(runtime, 'bin/napi-v6/linux/x64');

/** The provider, and the library that it shares with ONNX Runtime. */
export const PROVIDER_FILES = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'] as const;

/** Path of the provider itself, whether or not it is there. */
export const providerPath = (runtime = runtimePackage()): string => join(providerFolder(runtime), PROVIDER_FILES[0]);

/** Files of the provider that are not there. */
export const missingProviderFiles = (runtime = runtimePackage()): string[] =>
  PROVIDER_FILES.filter((file) => !existsSync(join(providerFolder(runtime), file)));
