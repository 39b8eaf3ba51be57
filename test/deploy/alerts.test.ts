import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from 'yaml';
import { skipWithout } from '../support/prometheusProgram.js';

const skip = skipWithout('promtool');

function run(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: 'deploy', encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

test('Prometheus accepts the scrape configuration and its rules', { skip }, () =>
  run('check', 'config', 'prometheus.yml'),
);

for (const rules of ['alerts', 'slo']) {
  test(`every alert of ${rules}.yml fires when it should, and not earlier`, { skip }, () =>
    run('test', 'rules', `${rules}.test.yml`),
  );

  test(`every alert of ${rules}.yml has a test in which it fires and one in which it does not`, async () => {
    const { groups } = parse(await readFile(`deploy/${rules}.yml`, 'utf8')) as {
      groups: { rules: { alert?: string }[] }[];
    };
    const { tests } = parse(await readFile(`deploy/${rules}.test.yml`, 'utf8')) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const cases = tests.flatMap(({ alert_rule_test: found }) => found);
    const alerts = groups.flatMap((group) => group.rules.flatMap(({ alert }) => alert ?? []));
    assert.ok(alerts.length > 0);
    for (const alert of alerts) {
      const raised = cases
        .filter(({ alertname }) => alertname === alert)
        .map(({ exp_alerts: found }) => found.length > 0);
      assert.deepEqual(new Set(raised), new Set([true, false]), alert);
    }
  });
}
