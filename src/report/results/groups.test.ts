import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { random, type TinySubject, tinyResult, trained } from '../../../test/support/tinyResults.js';
import { renderMarkdown } from '../markdown.js';
import { differencesAcross } from './acrossFiles.js';
import { groupResults } from './groups.js';
import { resultsReport } from './resultSections.js';

const file = (path: string, subjects: readonly TinySubject[], over: Parameters<typeof tinyResult>[1] = {}) => ({
  path,
  result: tinyResult(subjects, over),
});
const labels = (files: Parameters<typeof groupResults>[0]): string[][] =>
  groupResults(files).map(({ rows }) => rows.map(({ label }) => label));

describe('groupResults', () => {
  it('puts results of one kind, protocol and data together, whatever the path of the data', () => {
    const a = file('a.json', [trained()]);
    const moved = a.result.data.map((data) => ({ ...data, source: `/elsewhere/${data.source}` }));
    const files = [
      a,
      file('kind.json', [trained()], { kind: 'matches' }),
      file('data.json', [trained()], { data: [] }),
      file('moved.json', [trained('pico 1')], { data: moved }),
      file('protocol.json', [trained()], { protocol: 'another' }),
      file('items.json', [trained()], { items: a.result.items!.map((name) => `other/${name}`) }),
    ];
    assert.deepEqual(
      groupResults(files).map(({ files: own }) => own.map(({ path }) => path)),
      [['a.json', 'moved.json'], ['data.json'], ['protocol.json'], ['items.json'], ['kind.json']],
    );
  });

  it('puts results of other images under the same names apart, as far as files have digests of them', () => {
    const of = (path: string, source: string, contents?: string) => {
      const { result } = file(path, [trained(path)]);
      return {
        path,
        result: { ...result, data: result.data.map((set) => ({ ...set, source, ...(contents && { contents }) })) },
      };
    };
    const files = [of('a.json', 'x/val', 'c1'), of('b.json', 'y/val', 'c2'), of('c.json', 'z/val', 'c1')];
    assert.deepEqual(labels(files), [['a.json', 'c.json'], ['b.json']]);
    const told = renderMarkdown(resultsReport(files));
    const data = (text: string) => [...text.matchAll(/- Data \(test\): (.*)/g)].map(([, note]) => note);
    const used = 'images, sha256 34, contents';
    assert.deepEqual(data(told), [
      `\`x/val\` (\`a.json\`), \`z/val\` (\`c.json\`), 9 ${used} c1; 8 images used, 1 skipped.`,
      `\`y/val\`, 9 ${used} c2; 8 images used, 1 skipped.`,
    ]);
    // Of an older version: it may be the same as any, but not as all.
    const [old, ...others] = [of('old.json', 'w/val'), ...files];
    assert.deepEqual(labels([old, ...others]), [['old.json', 'a.json', 'c.json'], ['b.json']]);
    const unknown = data(renderMarkdown(resultsReport([old, files[1]!])));
    assert.deepEqual(unknown, [
      '`w/val` (`old.json`), `y/val` (`b.json`), 9 images, sha256 34; 8 images used, 1 skipped.',
      'the names are the same in all files; whether the images are cannot be told from these files.',
    ]);
    assert.equal(data(renderMarkdown(resultsReport([old, of('b.json', 'w/val', 'c2')]))).length, 1);
  });

  it('puts results together whose items have another order, unless names are there twice', () => {
    const a = file('a.json', [trained()]);
    const turned = file('b.json', [trained('pico 1')], { items: a.result.items!.toReversed() });
    assert.deepEqual(labels([a, turned]), [['atto 1', 'pico 1']]);
    const [items, other] = [
      [1, 1, 2, 3, 4, 5, 6, 7],
      [2, 1, 1, 3, 4, 5, 6, 7],
    ].map((names) => names.map(String));
    const twice = [file('a.json', [trained()], { items: items! }), file('b.json', [trained()], { items: other! })];
    assert.equal(groupResults(twice).length, 2);
    assert.equal(groupResults([twice[0]!, twice[0]!]).length, 1);
  });

  it('takes printed results, which lack items, to the others', () => {
    const { items: _, ...printed } = tinyResult([trained('pico 1')]);
    const subjects = printed.subjects.map(({ perItem: __, ...subject }) => subject);
    const files = [file('a.json', [trained()]), { path: 'printed.json', result: { ...printed, subjects } }];
    assert.deepEqual(labels(files), [['atto 1', 'pico 1']]);
  });

  it('shows equal baselines of several files once, after the models', () => {
    const files = [file('a.json', [trained(), random]), file('b.json', [trained('pico 1'), random])];
    assert.deepEqual(labels(files), [['atto 1', 'pico 1', 'random']]);
    const [{ rows }] = groupResults(files) as [ReturnType<typeof groupResults>[number]];
    assert.deepEqual(
      rows.map((row) => row.files.map(({ path }) => path)),
      [['a.json'], ['b.json'], ['a.json', 'b.json']],
    );
  });

  it('tells evaluations of one model apart by their files', () => {
    const other = { ...random, values: random.values.map((value) => 1 - value) };
    const files = [file('x/a.json', [trained(), random]), file('x/b.json', [trained(), other])];
    assert.deepEqual(labels(files), [
      ['atto 1, a.json', 'atto 1, b.json', 'random (atto-random 0), a.json', 'random (atto-random 0), b.json'],
    ]);
    assert.deepEqual(labels([file('x/a.json', [trained()]), file('y/a.json', [trained()])]), [
      ['atto 1, x/a.json', 'atto 1, y/a.json'],
    ]);
  });

  it('tells subjects apart by their models if their names are the same', () => {
    const pico = { ...random, model: 'pico-random 0' };
    const files = [file('a.json', [trained(), random]), file('b.json', [trained('pico 1'), pico])];
    assert.deepEqual(labels(files), [['atto 1', 'pico 1', 'random (atto-random 0)', 'random (pico-random 0)']]);
  });
});

describe('differencesAcross', () => {
  const pico: TinySubject = { name: 'trained', model: 'pico 1', values: [1, 0, 0, 1, 0, 1, 0, 1] };

  it('pairs the models of two files by item', () => {
    const [difference, ...more] = differencesAcross(file('b', [pico]), file('a', [trained()]));
    assert.deepEqual(more, []);
    assert.equal(difference!.figure, 'top1');
    assert.equal(difference!.difference, 0.5 - 0.75);
    assert.ok(difference!.interval[0]! < -0.25 && difference!.interval[1]! > -0.25);
  });

  it('pairs items of another order by their names', () => {
    const a = file('a', [trained()]);
    const turned = { ...trained(), values: trained().values.toReversed() };
    const same = differencesAcross(file('b', [turned], { items: a.result.items!.toReversed() }), a);
    assert.deepEqual(same, [{ figure: 'top1', difference: 0, interval: [0, 0] }]);
  });

  it('has none for crops of other seeds, and says so', () => {
    const a = file('a', [trained()], { kind: 'matches' });
    const b = file('b', [pico], { kind: 'matches', seed: 2 });
    assert.deepEqual(differencesAcross(b, a), []);
    const text = renderMarkdown(resultsReport([a, b]));
    assert.match(text, /Not the same in all files: `seed` is 1 \(`a`\), 2 \(`b`\)\./);
    assert.match(text, /No paired differences of `b` and `a`, which were measured with other values of `seed`\./);
    const knn = [file('a', [trained()]), file('b', [pico], { seed: 2 })] as const;
    assert.equal(differencesAcross(knn[1], knn[0]).length, 1);
    assert.match(renderMarkdown(resultsReport(knn)), /Not the same in all files: `seed` is 1/);
  });

  it('has none for other items, or without the values of items', () => {
    const a = file('a', [trained()]);
    const items = a.result.items!.map((name) => `other/${name}`);
    assert.deepEqual(differencesAcross(file('b', [pico], { items }), a), []);
    const { items: _, ...printed } = a.result;
    assert.deepEqual(differencesAcross({ path: 'b', result: printed }, a), []);
    const nulls = file('b', [{ ...pico, more: { perItem: { top1: [1, null, 0, 1, 0, 1, 0, 1] } } }]);
    assert.deepEqual(differencesAcross(nulls, a), []);
  });

  it('has none for files that were measured with other options, unless these follow from the model', () => {
    const a = file('a', [trained()]);
    assert.deepEqual(differencesAcross(file('b', [pico], { options: { k: 3, augmented: true } }), a), []);
    assert.equal(differencesAcross(file('b', [pico], { options: { k: 3, crop: 96 } }), a).length, 1);
    const report = resultsReport([a, file('b', [pico], { options: { k: 3, augmented: true } })]);
    const text = renderMarkdown(report);
    assert.doesNotMatch(text, /Paired differences across files/);
    assert.match(text, /No paired differences of `b` and `a`, which were measured with other values of `augmented`\./);
    assert.doesNotMatch(renderMarkdown(resultsReport([a, file('b', [pico])])), /No paired differences/);
  });

  it('has none for figures that are another statistic of the items, such as their median', () => {
    const median = { name: 'top1', label: 'median', unit: 'share', better: 'higher', value: 1 } as const;
    const [a, b] = [trained(), pico].map((subject) => file('a', [{ ...subject, more: { figures: [median] } }]));
    assert.deepEqual(differencesAcross(a!, b!), []);
  });
});
