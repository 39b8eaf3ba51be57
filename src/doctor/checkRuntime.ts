import { error, type Finding, messageOf, ok, warning } from './finding.js';

const CHECK = 'onnxruntime';

/** The part of ONNX Runtime that is looked at. */
export interface LoadedRuntime {
  readonly version: string | undefined;
  /** Execution providers that its package brings. */
  readonly providers: readonly string[];
}

/** Loads ONNX Runtime as every command does, without its telemetry. */
export async function loadRuntime(): Promise<LoadedRuntime> {
  const { env, listSupportedBackends } = await import('../onnx/runtime.js');
  const bundled = listSupportedBackends().filter((provider) => provider.bundled);
  return { version: env.versions.node, providers: bundled.map(({ name }) => name) };
}

/**
 * Whether ONNX Runtime loads, and is the version that the package was tested with.
 * @param expected version in package.json
 */
export async function checkRuntime(load: () => Promise<LoadedRuntime>, expected: string): Promise<Finding> {
  try {
    const { version = 'of an unknown version', providers } = await load();
    const found = `ONNX Runtime ${version} (${providers.join(', ')})`;
    if (version === expected) return ok(CHECK, found);
    return warning(
      CHECK,
      `${found}; this package was tested with ${expected}`,
      `Another onnxruntime-node is installed than the one that package.json names. Remove it from your own package.json, or set ` +
        `it to ${expected}, and run npm ci. Outputs may differ, and the CUDA libraries that are looked for may be others.`,
    );
  } catch (thrown) {
    return error(
      CHECK,
      `ONNX Runtime cannot be loaded: ${messageOf(thrown)}`,
      'It has binaries for Linux (x64 and arm64, with glibc: Debian, Ubuntu, Fedora; not Alpine), macOS (arm64) and Windows. On ' +
        'these, run npm ci again on the machine itself: node_modules that were copied from another platform lack its files.',
    );
  }
}
