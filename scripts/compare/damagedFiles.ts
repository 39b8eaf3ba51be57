/**
 * Records which damaged files of the tests (test/support/damagedFiles.ts) PIL can read, for src/image/damage.test.ts.
 *
 *   node dist/scripts/compare/damagedFiles.js [--python /usr/bin/python3]
 *
 * Needs python3-pil (Debian). Writes the names of the files that PIL rejects to test/fixtures/images/pil.json.
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { damagedFiles } from '../../test/support/damagedFiles.js';

const root = new URL('../../../', import.meta.url);
const { values } = parseArgs({ options: { python: { type: 'string', default: '/usr/bin/python3' } } });

const files = damagedFiles();
const script = fileURLToPath(new URL('scripts/compare/pil_verdicts.py', root));
const input = files.map(({ bytes }) => `${JSON.stringify(bytes.toString('base64'))}\n`).join('');
const output = execFileSync(values.python, [script], { input, maxBuffer: 1 << 26 }).toString();
const reads = output
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as boolean);
if (reads.length !== files.length) throw new Error(`PIL gave ${reads.length} results for ${files.length} files`);
const version = execFileSync(values.python, ['-c', 'import PIL; print(PIL.__version__)']).toString().trim();
const refused = files.filter((_, i) => !reads[i]).map(({ name }) => name);
const record = { pillow: version, files: files.length, refused };
writeFileSync(new URL('test/fixtures/images/pil.json', root), `${JSON.stringify(record, null, 2)}\n`);
console.log(`${files.length} files, ${refused.length} rejected by PIL ${version}`);
