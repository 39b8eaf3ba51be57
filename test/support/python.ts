import { spawnSync } from 'node:child_process';

/** Debian's Python, which finds the Python packages of Debian. */
export const PYTHON = '/usr/bin/python3';

/**
 * The reason to skip a test that needs modules of Debian's Python, or false if it can run.
 * @throws Error if one is missing and CI_PYTHON=required. .ci/run sets this, because CI must not skip tests.
 */
export function skipWithoutPython(...modules: readonly string[]): string | false {
  if (spawnSync(PYTHON, ['-c', `import ${modules.join(', ')}`]).status === 0) return false;
  const missing = `Python lacks one of ${modules.join(', ')} (Debian: apt-get install python3-grpcio python3-protobuf python3-numpy python3-h5py python3-faiss)`;
  if (process.env['CI_PYTHON'] !== 'required') return missing;
  throw new Error(`${missing}, and CI_PYTHON=required forbids to skip what needs it`);
}
