import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/**
 * Every command with an output that cannot be written. The error must come before any other check, so the other inputs of
 * these commands do not exist.
 */

const folder = '/proc/vicregl/out';
const file = (ending: string) => `/proc/vicregl.${ending}`;
const photo = fileURLToPath(new URL('../../../test/fixtures/photos/coffee.jpg', import.meta.url));
const nowhere = '/nowhere';

const commands: readonly (readonly string[])[] = [
  ['train', '--recipe', 'convnext-atto-128', '--set', `data.source=${nowhere}`, '--out', folder],
  ['train', '--recipe', 'convnext-atto-128', '--set', `data.source=${nowhere}`, '--dry-run', '--out', folder],
  ['export', nowhere, '--out', folder],
  ['import', nowhere, '--alpha', '1', '--out', folder],
  ['models', 'convert', nowhere, '--out', folder],
  ['models', 'quantize', nowhere, '--images', nowhere, '--out', folder],
  ['evaluate', 'matches', '--images', nowhere, '--out', file('json')],
  ['evaluate', 'knn', '--train', nowhere, '--out', file('json')],
  ['runs', 'compare', nowhere, '--out', file('svg')],
  ['embed', photo, '--local', '--out', file('npy')],
  ['features', photo, '--local', '--out', file('safetensors')],
  ['features', photo, '--local', '--picture', file('png')],
  ['match', photo, photo, '--local', '--out', file('png')],
];

for (const command of commands) {
  test(`${command.slice(0, 2).join(' ')} ... ${command.at(-2)} ${command.at(-1)} fails before it does any work`, async () => {
    const { code, stdout, stderr } = await vicregl(...command);
    assert.equal(code, 1, stderr);
    const path = command.at(-1)!.replaceAll('.', '\\.');
    assert.match(
      stderr,
      new RegExp(
        `^vicregl: (--out|--picture|the model folder): ${path}(/dry-run)? cannot be written: .* \\(E[A-Z]+\\) \\(`,
      ),
    );
    assert.equal(stdout, '');
  });
}
