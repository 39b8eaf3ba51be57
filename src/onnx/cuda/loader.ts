import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/**
 * What the dynamic loader reports about ONNX Runtime's library for CUDA. The runtime only reports "Failed to load shared
 * library"; the name of the missing library is only in its native log.
 */

/** Path of the provider's library, whether or not it is there. */
export function providerPath(): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  const platform = join(process.platform, process.arch);
  return join(dirname(entry), '..', 'bin', 'napi-v6', platform, 'libonnxruntime_providers_cuda.so');
}

/**
 * Why a library cannot be loaded: the loader's message, which names the first missing library; undefined if it can be
 * loaded. The library is unloaded again.
 */
export function loadProblem(file: string): string | undefined {
  try {
    process.dlopen({ exports: {} }, file);
  } catch (error) {
    const message = (error as Error).message;
    // It was found and linked; it is only not a Node addon.
    return /did not self-register|Module version mismatch|symbol .*napi_register/i.test(message) ? undefined : message;
  }
  return undefined;
}

/** Why ONNX Runtime's library for CUDA cannot be loaded; undefined if it can. */
export function providerProblem(path = providerPath()): string | undefined {
  if (!existsSync(path)) return `${path}: cannot open shared object file`;
  return loadProblem(path);
}
