/**
 * Writes the generated files of deploy/: the Grafana dashboard and the rules of the service level objectives. Build first.
 *
 *   node dist/scripts/deploy/writeDeploy.js
 */
import { writeFile } from 'node:fs/promises';
import { dashboardText } from './dashboard.js';
import { sloText } from './slo.js';

for (const [path, text] of [
  ['deploy/grafana-dashboard.json', dashboardText()],
  ['deploy/slo.yml', sloText()],
] as const) {
  await writeFile(path, text);
}
