import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { withConfigTable } from '../../scripts/docs/configTable.js';
import { withLoggedTerms } from '../../scripts/docs/loggedTermsTable.js';
import { withServeConfigTable } from '../../scripts/docs/serveConfigTable.js';

test('docs/training.md lists the configuration keys of this version (else: npm run docs)', async () => {
  const document = await readFile('docs/training.md', 'utf8');
  assert.equal(withConfigTable(document), document);
});

test('docs/service.md lists the configuration keys of this version (else: npm run docs)', async () => {
  const document = await readFile('docs/service.md', 'utf8');
  assert.equal(withServeConfigTable(document), document);
});

test('docs/method.md lists the terms that this version logs (else: npm run docs)', async () => {
  const document = await readFile('docs/method.md', 'utf8');
  assert.equal(withLoggedTerms(document), document);
});

test('a document without markers is refused', () => {
  assert.throws(() => withConfigTable('# Training\n'), /lacks the lines/);
  assert.throws(() => withServeConfigTable('# Service\n'), /lacks the lines/);
  assert.throws(() => withLoggedTerms('# Method\n'), /lacks the lines/);
});
