import { spawnSync } from 'node:child_process';

/**
 * The reason to skip a test that needs a program of Prometheus, or false if it can run.
 * @throws Error if the program is missing and CI_PROMETHEUS=required. .ci/run sets this, because CI must not skip tests.
 */
export function skipWithout(program: 'prometheus' | 'promtool'): string | false {
  if (spawnSync(program, ['--version']).error === undefined) return false;
  const missing = `${program} is not installed (Debian: apt-get install prometheus)`;
  if (process.env['CI_PROMETHEUS'] !== 'required') return missing;
  throw new Error(`${missing}, and CI_PROMETHEUS=required forbids to skip what needs it`);
}
