import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { describe, test } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { loadInferenceService, loadVicreglService } from '../../src/proto/load.js';
import { outputNames } from '../../src/serve/kserve/inferRequest.js';
import { parameterKinds } from '../../src/serve/kserve/parameters.js';
import { inputs } from '../../src/serve/kserve/tensors.js';
import { documents } from '../support/snippets.js';

/** Links of the documentation lead to existing targets, and its lists are complete. */

const files = await documents();
const textOf = (file: string): string => files.find((each) => each.file === file)!.text;

/** A text without its fenced blocks, in which `#` and `[]()` have other meanings. */
const prose = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '');

/** Anchors that GitHub gives to the headings of a document. */
function anchorsOf(text: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = [...prose(text).matchAll(/^#+ +(.+)$/gm)].map(([, heading]) => {
    const plain = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = plain.replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-');
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  });
  return new Set(anchors);
}

interface Link {
  readonly path: string;
  readonly anchor: string | undefined;
}

/** Links and images of a document that point into this repository, with paths from its root. */
function linksOf(file: string, text: string): Link[] {
  const targets = [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = '', anchor] = target.split('#');
      return { path: path === '' ? file : normalize(join(dirname(file), path)), anchor };
    });
}

const textAt = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);

/** The links of documents whose target does not exist. */
function broken(documents: readonly { readonly file: string; readonly text: string }[]): string[] {
  return documents.flatMap(({ file, text }) =>
    linksOf(file, text)
      .filter(({ path, anchor }) => {
        if (anchor === undefined) return !existsSync(path);
        // Pages without commands, such as the cards of models, are not among the documents.
        const target = documents.find((each) => each.file === path)?.text ?? textAt(path);
        return target === undefined || !anchorsOf(target).has(anchor);
      })
      .map(({ path, anchor }) => `${file}: ${path}${anchor === undefined ? '' : `#${anchor}`}`),
  );
}

describe('links', () => {
  test('of all documents lead to files and headings that exist', () => {
    assert.deepEqual(broken(files), []);
  });

  test('that are broken are found', () => {
    const text = '## A `b`, (c)\n[x](#a-b-c) [y](#none) [z](none.md) [w](../README.md) [v](https://example.org)';
    assert.deepEqual(broken([{ file: 'docs/a.md', text }]), ['docs/a.md: docs/a.md#none', 'docs/a.md: docs/none.md']);
  });
});

/** Table rows of a document whose first cell is a name in code, by this name. */
function rowsByName(text: string): ReadonlyMap<string, readonly string[]> {
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));
  return new Map(
    rows.flatMap((row) => {
      const cells = row.split(/(?<!\\)\|/).map((cell) => cell.trim());
      return [...cells[1]!.matchAll(/`([\w.-]+)`/g)].map(([, name]) => [name!, cells.slice(2, -1)] as const);
    }),
  );
}

test('the API guide has a row for every method, with its kind', () => {
  const rows = rowsByName(textOf('docs/service/api.md'));
  const kinds = Object.entries(loadVicreglService().service).map(([name, { requestStream, responseStream }]) => [
    name,
    requestStream ? 'bidirectional stream' : responseStream ? 'server stream' : 'unary',
  ]);
  assert.ok(kinds.length >= 13);
  assert.deepEqual(
    kinds.map(([name]) => [name, rows.get(name!)?.[0]]),
    kinds,
  );
});

test('the guide of the Open Inference Protocol has a row for every method, input, output and parameter', () => {
  const rows = rowsByName(textOf('docs/service/kserve.md'));
  const names = [loadInferenceService().service, inputs, parameterKinds].flatMap((each) => Object.keys(each));
  for (const name of [...names, ...outputNames]) assert.ok(rows.has(name), name);
});

test('the operations guide has instructions for every alert', async () => {
  const { groups } = parseYaml(await readFile('deploy/alerts.yml', 'utf8')) as {
    groups: { rules: { alert: string; labels: { severity: string } }[] }[];
  };
  const alerts = groups.flatMap(({ rules }) => rules.map(({ alert, labels }) => [alert, labels.severity]));
  const rows = rowsByName(textOf('docs/service/operations.md'));
  assert.ok(alerts.length > 10);
  assert.deepEqual(
    alerts.map(([alert]) => [alert, rows.get(alert!)?.[0]]),
    alerts,
  );
});
