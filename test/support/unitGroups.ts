import { mkdir, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * Writes files that each import some of the unit tests, for `npm run test:unit`. Node's runner starts a process for each file that it
 * is given. Starting one and loading the modules takes longer than most unit tests, which need no process of their own.
 *
 *   node dist/test/support/unitGroups.js FILE...    # writes dist/unit-groups/
 */

/** More groups than processors, so that none waits long for the last one. */
const GROUPS = 8;

const folder = resolve('dist/unit-groups');
const files = process.argv.slice(2);
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
for (let group = 0; group < GROUPS; group++) {
  const imports = files
    .filter((_, i) => i % GROUPS === group)
    .map((file) => `await import('${pathToFileURL(resolve(file))}');\n`);
  await writeFile(resolve(folder, `${group}.js`), imports.join(''));
}
