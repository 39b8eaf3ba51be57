import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** Runs a test file with an empty PATH. */
function runWithoutPrograms(file: string, env: NodeJS.ProcessEnv) {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--test-reporter=tap', path], {
    env: { PATH: '/nowhere', ...env },
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

for (const file of ['./alerts.test.js', '../e2e/prometheus.test.js']) {
  test(`${file} is skipped without Prometheus and reports the reason`, () => {
    const { status, output } = runWithoutPrograms(file, {});
    assert.equal(status, 0, output);
    assert.match(output, /# SKIP prom\w+ is not installed/);
  });

  test(`${file} fails without Prometheus when CI requires it`, () => {
    const { status, output } = runWithoutPrograms(file, { CI_PROMETHEUS: 'required' });
    assert.notEqual(status, 0);
    assert.match(output, /prom\w+ is not installed .* CI_PROMETHEUS=required/);
  });
}
