import { spawnSync } from 'node:child_process';

/**
 * Why a test that needs one of Prometheus' programs is skipped; false where it can run.
 * @throws Error where the program is missing and CI_PROMETHEUS=required, as .ci/run sets it: there nothing may be skipped.
 */
export function skipWithout(program: 'prometheus' | 'promtool'): string | false {
  if (spawnSync(program, ['--version']).error === undefined) return false;
  const missing = `${program} is not installed (Debian: apt-get install prometheus)`;
  if (process.env['CI_PROMETHEUS'] !== 'required') return missing;
  throw new Error(`${missing}, and CI_PROMETHEUS=required forbids to skip what needs it`);
}
