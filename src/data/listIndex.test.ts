import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sourceFingerprint } from './sourceFingerprint.js';
import { openImageSource } from './sources.js';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-list-'));
  await mkdir(join(root, 'lists'));
  await mkdir(join(root, 'pictures'));
  for (const name of ['pictures/a, b.jpg', 'pictures/c', 'lists/d.png']) await writeFile(join(root, name), name);
});
after(() => rm(root, { recursive: true }));

async function list(name: string, text: string): Promise<string> {
  const path = join(root, 'lists', name);
  await writeFile(path, text);
  return path;
}

test('CSV, TSV and JSON lines give the same source: order and labels of the list, paths relative to it or absolute', async () => {
  const absolute = join(root, 'pictures/c');
  const paths = [
    await list('x.csv', `\ufeffid,path,label\n1,"../pictures/a, b.jpg",dog\n\n2,${absolute},"cat"\r\n3,d.png,dog`),
    await list('x.tsv', `label\tpath\ndog\t../pictures/a, b.jpg\ncat\t${absolute}\ndog\td.png\n`),
    await list(
      'x.jsonl',
      `{"path": "../pictures/a, b.jpg", "label": "dog", "id": 1}\n\n{"path": "${absolute}", "label": "cat"}\n{"label":"dog","path":"d.png"}\n`,
    ),
  ];
  const prints = new Set<string>();
  for (const path of paths) {
    const source = await openImageSource(path, { labels: 'given' });
    assert.deepEqual(
      [0, 1, 2].map((i) => source.nameOf(i)),
      ['../pictures/a, b.jpg', absolute, 'd.png'],
      path,
    );
    assert.deepEqual(source.labelled!.classes, ['cat', 'dog']);
    assert.deepEqual([...source.labelled!.labels], [1, 0, 1]);
    assert.deepEqual(String(await source.read(0)), 'pictures/a, b.jpg');
    assert.deepEqual(String(await source.read(1)), 'pictures/c');
    prints.add(sourceFingerprint(source));
  }
  assert.equal(prints.size, 1);
});

test('integer labels are sorted by value, and different labels change the fingerprint', async () => {
  const lines = (labels: readonly number[]) =>
    labels.map((label) => JSON.stringify({ path: 'd.png', label })).join('\n');
  const source = await openImageSource(await list('n.jsonl', lines([10, 9, 2])), { labels: 'given' });
  assert.deepEqual(source.labelled!.classes, ['2', '9', '10']);
  assert.deepEqual([...source.labelled!.labels], [2, 1, 0]);
  const other = await openImageSource(await list('o.jsonl', lines([9, 10, 2])), { labels: 'given' });
  assert.notEqual(sourceFingerprint(other), sourceFingerprint(source));
});

test('spaces around labels are removed in every list format; lines may end with a carriage return only', async () => {
  const lists = [
    await list('spaces.csv', 'path, label\nd.png, cat\nd.png,"dog "\nd.png,cat\n'),
    await list('spaces.tsv', 'path\tlabel\nd.png\tcat \nd.png\tdog\nd.png\t cat'),
    await list(
      'spaces.jsonl',
      '{"path":"d.png","label":" cat"}\n{"path":"d.png","label":"dog"}\n{"path":"d.png","label":"cat"}',
    ),
    await list('mac.csv', 'path,label\rd.png,cat\rd.png,dog\rd.png,cat\r'),
  ];
  for (const path of lists) {
    const { labelled, count } = await openImageSource(path, { labels: 'given' });
    assert.deepEqual([count, labelled!.classes, [...labelled!.labels]], [3, ['cat', 'dog'], [0, 1, 0]], path);
  }
});

test('a list without labels is a valid source; if labels are required, the error names the line', async () => {
  const path = await list('u.csv', 'path,label\nd.png,a\nd.png,\n');
  assert.equal((await openImageSource(path)).count, 2);
  await assert.rejects(openImageSource(path, { labels: 'given' }), {
    code: 'no_labels',
    message: /u\.csv, line 3 has no label; add a label to every line/,
  });
});

const refused: Record<string, readonly [string, string, RegExp]> = {
  'a missing file': [
    'm.csv',
    'path\nd.png\ngone.jpg\n../lists/also gone.jpg\n',
    /m\.csv lists files that do not exist: gone\.jpg \(line 3\), .*also gone\.jpg \(line 4\); paths are relative to \/.*lists$/,
  ],
  'a folder in place of a file': ['f.csv', 'path\n../pictures\n', /\.\.\/pictures \(line 2\)/],
  'a header without path': ['h.csv', 'file,label\nd.png,a\n', /h\.csv, line 1: .*column path.*"file,label"/],
  'a line with another number of columns': ['c.csv', 'path,label\nd.png,a\nd.png\n', /c\.csv, line 3: /],
  'an unclosed quote': ['q.csv', 'path,label\n"d.png,a\n', /q\.csv, line \d: .*[Qq]uote/],
  'an empty path': ['e.tsv', 'path\tlabel\nd.png\ta\n\ta\n', /e\.tsv, line 3: the path is empty/],
  'a line that is not JSON': ['j.jsonl', '{"path": "d.png"}\n{"path": \n', /j\.jsonl, line 2: not JSON: /],
  'a line without a path': ['p.jsonl', '{"file": "d.png"}\n', /p\.jsonl, line 1: path: .*write \{"path": text/],
  'a label of another type': ['l.jsonl', '{"path": "d.png", "label": 1.5}\n', /l\.jsonl, line 1: label: /],
  'a table without rows': [
    'n.csv',
    'path,label\n',
    /n\.csv lists no images: there is no line after its header; add one line per image$/,
  ],
  'a file without objects': ['n.jsonl', '\n', /n\.jsonl lists no images: it has no lines; add one line per image$/],
  'an empty file': ['z.csv', '', /z\.csv lists no images/],
  'a path that ends with a space': ['s.csv', 'path,label\nd.png ,a\n', /do not exist: "d\.png " \(line 2\)/],
};
for (const [what, [name, text, message]] of Object.entries(refused)) {
  test(`rejects ${what}`, async () => {
    await assert.rejects(openImageSource(await list(name, text)), { name: 'DataError', message });
  });
}
