/** Writes the table of configuration keys into docs/training.md: npm run docs. */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import writeFileAtomic from 'write-file-atomic';
import { withConfigTable } from './configTable.js';

const path = fileURLToPath(new URL('../../../docs/training.md', import.meta.url));
await writeFileAtomic(path, withConfigTable(await readFile(path, 'utf8')));
