import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { mixedResults } from '../support/tinyResults.js';
import { vicreglInHostAt } from '../support/vicregl.js';

describe('vicregl report', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-report-'));
    await mkdir(join(root, 'more'));
    for (const { path, result } of mixedResults()) await writeFile(join(root, path), JSON.stringify(result));
    await writeFile(join(root, 'old.json'), JSON.stringify({ format: 'vicregl-result', formatVersion: 0 }));
  });
  after(() => rm(root, { recursive: true }));
  const report = (...args: string[]) => vicreglInHostAt(root, 'report', ...args);

  it('prints Markdown without pictures, of files and folders', async () => {
    const { code, stdout, stderr } = await report('atto.json', 'more', 'matches.json', 'segmentation.json');
    assert.deepEqual([code, stderr], [0, '']);
    const golden = await readFile('test/golden/report.md', 'utf8');
    assert.equal(stdout, golden.replace(/^!\[.*\n\n/gm, ''));
  });

  it('writes all formats, some or one file, and prints the paths', async () => {
    const all = await report('atto.json', '--out', 'all');
    const files = ['knn-figures.png', 'knn-items.png', 'report.html', 'report.md'];
    assert.deepEqual([all.code, all.stderr], [0, '']);
    assert.deepEqual(
      all.stdout.trim().split('\n').sort(),
      files.map((name) => join('all', name)),
    );
    assert.deepEqual((await readdir(join(root, 'all'))).sort(), files);
    await report('atto.json', '--out', 'html', '--format', 'html');
    assert.deepEqual(await readdir(join(root, 'html')), ['report.html']);
    for (const [name, start] of [
      ['one.html', '<!doctype html>'],
      ['one.md', '# Evaluation results'],
    ] as const) {
      assert.equal((await report('atto.json', '--out', name)).stdout, `${name}\n`);
      assert.ok((await readFile(join(root, name), 'utf8')).startsWith(start));
    }
  });

  it('refuses inputs that are no results, and flags that do not go together, before it writes anything', async () => {
    for (const [args, message] of [
      [['old.json', '--out', 'x'], /old\.json is a result of format version 0, and this version of vicregl reads 1/],
      [['.', '--out', 'x'], /old\.json is a result of format version 0/],
      [['none', '--out', 'x'], /none cannot be read: there is no such file or folder/],
      [['atto.json', '--out', 'x.png'], /--out x\.png: a report has several pictures; give a folder/],
      [['atto.json', '--out', 'x.md', '--format', 'html'], /--out x\.md is one file, and --format is html/],
      [['atto.json', '--format', 'png'], /--format png requires --out/],
      [['atto.json', '--format', 'pdf'], /Allowed choices are html, md, png, all/],
      [['atto.json', '--out', 'atto.json/x'], /--out: atto\.json\/x cannot be written/],
      [[], /missing required argument 'result'/],
    ] as const) {
      const { code, stdout, stderr } = await report(...args);
      assert.deepEqual([code, stdout], [1, ''], args.join(' '));
      assert.match(stderr, message);
    }
    assert.ok(!(await readdir(root)).some((name) => name.startsWith('x')));
  });
});
