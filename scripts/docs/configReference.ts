/** Writes the tables of configuration keys and of logged terms into docs/: npm run docs. */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import writeFileAtomic from 'write-file-atomic';
import { withConfigTable } from './configTable.js';
import { withLoggedTerms } from './loggedTermsTable.js';
import { withServeConfigTable } from './serveConfigTable.js';

for (const [name, rewrite] of [
  ['training.md', withConfigTable],
  ['service.md', withServeConfigTable],
  ['method.md', withLoggedTerms],
] as const) {
  const path = fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url));
  await writeFileAtomic(path, rewrite(await readFile(path, 'utf8')));
}
