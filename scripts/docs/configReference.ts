/**
 * Writes the generated parts of docs/: configuration keys, logged terms, status reasons, metrics, the format of results, and the tables of
 * comparisons. Run by `npm run docs`.
 */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { writeFileAtomically } from '../../src/files/atomicFile.js';
import { withComparisonTables } from './comparisonTables.js';
import { withConfigTable } from './configTable.js';
import { withLoggedTerms } from './loggedTermsTable.js';
import { withResultTable } from './resultTable.js';
import { withServiceReference } from './serviceReference.js';

for (const [name, rewrite] of [
  ['training.md', withConfigTable],
  ['service/reference.md', withServiceReference],
  ['method.md', withLoggedTerms],
  ['evaluation.md', withResultTable],
  ['results.md', withComparisonTables],
] as const) {
  const path = fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url));
  await writeFileAtomically(path, rewrite(await readFile(path, 'utf8')));
}
