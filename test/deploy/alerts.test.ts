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

test('every alert fires when it should, and not earlier', { skip }, () => run('test', 'rules', 'alerts.test.yml'));

test('every alert has a test in which it fires and one in which it does not', async () => {
  const { groups } = parse(await readFile('deploy/alerts.yml', 'utf8')) as { groups: { rules: { alert: string }[] }[] };
  const { tests } = parse(await readFile('deploy/alerts.test.yml', 'utf8')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
  };
  const cases = tests.flatMap(({ alert_rule_test: found }) => found);
  for (const { alert } of groups.flatMap(({ rules }) => rules)) {
    const raised = cases
      .filter(({ alertname }) => alertname === alert)
      .map(({ exp_alerts: found }) => found.length > 0);
    assert.deepEqual(new Set(raised), new Set([true, false]), alert);
  }
});
