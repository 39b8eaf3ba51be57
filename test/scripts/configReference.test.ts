import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { withComparisonTables } from '../../scripts/docs/comparisonTables.js';
import { withConfigTable } from '../../scripts/docs/configTable.js';
import { withLoggedTerms } from '../../scripts/docs/loggedTermsTable.js';
import { registeredMetrics, withMetricsTable } from '../../scripts/docs/metricsTable.js';
import { withResultTable } from '../../scripts/docs/resultTable.js';
import { withServeConfigTable } from '../../scripts/docs/serveConfigTable.js';
import { withReasonsTable } from '../../scripts/docs/statusReasons.js';

test('docs/training.md lists the current configuration keys (otherwise run npm run docs)', async () => {
  const document = await readFile('docs/training.md', 'utf8');
  assert.equal(withConfigTable(document), document);
});

for (const [what, rewrite] of [
  ['configuration keys', withServeConfigTable],
  ['status reasons', withReasonsTable],
  ['metrics', withMetricsTable],
] as const) {
  test(`docs/service/reference.md lists the current ${what} (otherwise run npm run docs)`, async () => {
    const document = await readFile('docs/service/reference.md', 'utf8');
    assert.equal(rewrite(document), document);
  });
}

test('the table of metrics has counters, gauges and histograms, with their labels', () => {
  const metrics = new Map(registeredMetrics().map((metric) => [metric.name, metric]));
  assert.deepEqual(
    ['vicregl_requests_total', 'vicregl_ready', 'vicregl_phase_duration_seconds'].map((name) => {
      const { type, labelNames } = metrics.get(name)!;
      return [type, labelNames];
    }),
    [
      ['counter', ['method', 'code']],
      ['gauge', []],
      ['histogram', ['method', 'phase']],
    ],
  );
  // These exist only with decode processes and with TLS.
  assert.ok(metrics.has('vicregl_decode_processes') && metrics.has('vicregl_certificate_expiry_timestamp_seconds'));
});

test('docs/method.md lists the current logged terms (otherwise run npm run docs)', async () => {
  const document = await readFile('docs/method.md', 'utf8');
  assert.equal(withLoggedTerms(document), document);
});

test('docs/evaluation.md lists the keys of results of this version (else: npm run docs)', async () => {
  const document = await readFile('docs/evaluation.md', 'utf8');
  assert.equal(withResultTable(document), document);
  // Keys of objects in lists, of lists of numbers, and of groups.
  for (const key of ['subjects[].figures[].value', 'subjects[].curves[].y.intervals', 'versions.node']) {
    assert.ok(document.includes(`| \`${key}\` |`), key);
  }
});

test('docs/results.md has the tables of every committed report (otherwise run npm run docs)', async () => {
  const document = await readFile('docs/results.md', 'utf8');
  assert.equal(withComparisonTables(document), document);
  const reports = (await readdir('docs/results')).filter((name) => name.endsWith('.json'));
  assert.ok(reports.length > 0);
  for (const report of reports) {
    assert.ok(document.includes(`<!-- results of ${report.replace('.json', '')}: begin`), report);
    assert.ok(document.includes(`(results/${report})`), report);
  }
});

test('a document without markers is rejected', () => {
  assert.throws(() => withConfigTable('# Training\n'), /lacks the lines/);
  for (const rewrite of [withServeConfigTable, withReasonsTable, withMetricsTable]) {
    assert.throws(() => rewrite('# Reference\n'), /lacks the lines/);
  }
  assert.throws(() => withLoggedTerms('# Method\n'), /lacks the lines/);
  assert.throws(() => withResultTable('# Evaluation\n'), /lacks the lines/);
});
