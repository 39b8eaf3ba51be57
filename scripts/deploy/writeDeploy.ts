/**
 * Writes the generated files of deploy/: the Grafana dashboard, the rules of the service level objectives, and all rules as the Prometheus
 * Operator reads them. Build first.
 *
 *   node dist/scripts/deploy/writeDeploy.js
 */
import { writeFile } from 'node:fs/promises';
import { generatedFiles } from './generatedFiles.js';

for (const [path, text] of await generatedFiles()) await writeFile(path, text);
