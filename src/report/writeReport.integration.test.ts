import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { mixedResults, type TinySubject, tinyResult } from '../../test/support/tinyResults.js';
import { intervalsPlot } from './plots/intervalsPlot.js';
import { resultsReport } from './results/resultSections.js';
import { writeReport } from './writeReport.js';

const PICTURES = [
  'knn-figures.png',
  'knn-items.png',
  'matches-figures.png',
  'matches-gamma.png',
  'matches-items.png',
  'segmentation-classes-iou.png',
  'segmentation-figures.png',
];
const ALL = [...PICTURES, 'report.html', 'report.md'].sort();

describe('writeReport', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-report-'));
  });
  after(() => rm(root, { recursive: true }));

  it('writes Markdown, HTML and pictures, with the same bytes each time', async () => {
    const report = resultsReport(mixedResults());
    const [a, b] = [join(root, 'deep', 'a'), join(root, 'b')];
    const written = await writeReport('--out', a, report);
    await writeReport('--out', b, resultsReport(mixedResults()));
    assert.deepEqual((await readdir(a)).sort(), ALL);
    assert.deepEqual(
      written.toSorted(),
      ALL.map((name) => join(a, name)),
    );
    for (const name of await readdir(a)) {
      assert.ok((await readFile(join(a, name))).equals(await readFile(join(b, name))), name);
    }
    const markdown = await readFile(join(a, 'report.md'), 'utf8');
    for (const name of PICTURES) assert.ok(markdown.includes(`](${name})`), name);
  });

  it('draws pictures of a sane size that are not empty', async () => {
    const dir = join(root, 'pictures');
    await writeReport('--out', dir, resultsReport(mixedResults()), ['png']);
    assert.deepEqual((await readdir(dir)).sort(), PICTURES);
    for (const name of PICTURES) {
      const { width, height } = await sharp(join(dir, name)).metadata();
      assert.ok(width > 600 && width < 2400 && height > 200 && height < 2400, `${name}: ${width} x ${height}`);
      const { channels } = await sharp(join(dir, name)).stats();
      assert.ok(channels[0]!.max === 255 && channels[0]!.min < 100, name);
    }
  });

  it('draws names that XML forbids or that it must escape', async () => {
    const subject: TinySubject = { name: '<b>&\u0000\ud800"', model: '<b>&\u0000\ud800"', values: [0.5, 1] };
    const report = resultsReport([{ path: 'a.json', result: tinyResult([subject, { ...subject, name: '\u0001' }]) }]);
    assert.equal((await writeReport('--out', join(root, 'names'), report, ['png'])).length, 2);
  });

  it('gives every picture a plain file name of its own', async () => {
    const plots = ['a/../b', 'a b', 'A_B', '', 'x'.repeat(300)].map((name) => {
      const { spec } = intervalsPlot({
        name,
        title: 'T',
        about: '',
        figures: [{ name: 'f', label: 'f', unit: 'number', better: 'higher' }],
        subjects: [{ name: 's', figures: new Map([['f', { value: 1 }]]) }],
      })!;
      return { type: 'plot' as const, name, alt: '', spec };
    });
    const report = { title: 'T', sections: [{ title: 'S', blocks: plots }] };
    const dir = join(root, 'plain');
    await writeReport('--out', dir, report, ['png']);
    const names = ['a-b.png', 'a-b-2.png', 'a-b-3.png', 'plot.png', `${'x'.repeat(100)}.png`];
    assert.deepEqual((await readdir(dir)).sort(), names.sort());
  });

  it('writes Markdown without pictures if these are not written', async () => {
    const dir = join(root, 'md');
    await writeReport('--out', dir, resultsReport(mixedResults()), ['md']);
    assert.deepEqual(await readdir(dir), ['report.md']);
    assert.doesNotMatch(await readFile(join(dir, 'report.md'), 'utf8'), /!\[/);
  });

  it('names a folder that cannot be written', async () => {
    const taken = join(root, 'taken');
    await writeFile(taken, '');
    await assert.rejects(writeReport('--out', taken, resultsReport(mixedResults())), {
      name: 'OutputError',
      message: /--out: .*taken cannot be written/,
    });
  });
});
