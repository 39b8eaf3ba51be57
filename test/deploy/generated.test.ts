import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { dashboardText } from '../../scripts/deploy/dashboard.js';
import { sloText } from '../../scripts/deploy/slo.js';

for (const [file, text] of [
  ['grafana-dashboard.json', dashboardText()],
  ['slo.yml', sloText()],
] as const) {
  test(`deploy/${file} is what scripts/deploy/writeDeploy.ts writes`, async () => {
    assert.equal(await readFile(`deploy/${file}`, 'utf8'), text);
  });
}
