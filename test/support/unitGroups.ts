import { mkdir, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * Writes files that each import some of the unit tests, for `npm run test:unit`. Node's runner starts a process for each file that it
 * is given. Starting one and loading the modules takes longer than most unit tests, which need no process of their own. Each file is a
 * suite of its own name, so that its hooks (`before`, `after`, ...) are called for its own tests alone.
 *
 *   node dist/test/support/unitGroups.js FILE...    # writes dist/unit-groups/
 */

/** More groups than processors, so that none waits long for the last one. */
const GROUPS = 8;

/** The first test waits until all files are loaded: their loading would stop the event loop under the tests of the first ones. */
const HEAD = `import { describe, test } from 'node:test';
const loading = [];
const load = (url) => {
  const loaded = import(url);
  loading.push(loaded);
  return loaded.then(() => undefined);
};
test('the files are loaded', async () => {
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all(loading);
});
`;

const folder = resolve('dist/unit-groups');
const files = process.argv.slice(2);
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
for (let group = 0; group < GROUPS; group++) {
  const suites = files
    .filter((_, i) => i % GROUPS === group)
    .map((file) => {
      const url = pathToFileURL(resolve(file)).href;
      return `describe(${JSON.stringify(file)}, () => load(${JSON.stringify(url)}));\n`;
    });
  await writeFile(resolve(folder, `${group}.js`), HEAD + suites.join(''));
}
