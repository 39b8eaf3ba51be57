import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pixelSubject } from '../subjects/pixelSubject.js';
import { buildResult, summaryOf } from './buildResult.js';
import { meanFigure } from './figures.js';
import { readResult } from './readResult.js';

const about = { name: 'top1', label: 'top-1 accuracy', unit: 'share', better: 'higher' } as const;
const result = buildResult({
  kind: 'knn',
  protocol: 'k-NN',
  command: ['evaluate', 'knn'],
  seed: 1,
  options: { k: 20 },
  data: [{ role: 'test', source: 'x.tar', fingerprint: '2 images', images: 2, skipped: [] }],
  items: ['a.jpg', 'b.jpg'],
  sources: [pixelSubject(new Map([['maps', 32]]))],
  measures: [{ figures: [meanFigure(about, [0, 1])] }],
  began: performance.now(),
});

describe('readResult', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vicregl-result-'));
  });
  after(() => rm(dir, { recursive: true }));
  const written = async (text: string) => {
    const path = join(dir, 'result.json');
    await writeFile(path, text);
    return path;
  };

  it('reads what was built, with and without the values of each item', async () => {
    assert.deepEqual(await readResult(await written(JSON.stringify(result))), result);
    const summary = summaryOf(result);
    assert.deepEqual([summary.items, summary.subjects[0]!.perItem], [undefined, undefined]);
    assert.deepEqual(await readResult(await written(JSON.stringify(summary))), summary);
  });

  it('refuses names and lengths that do not agree', async () => {
    const [subject] = result.subjects;
    const comparison = { figure: 'top1', subject: 'pixels', baseline: 'none', difference: 0, interval: [0, 0] };
    const y = { label: 'y', unit: 'share', values: [0, 1] };
    const curve = { name: 'c', label: 'c', x: { label: 'x', values: [1] }, y };
    for (const [changed, message] of [
      [{ items: ['a.jpg'] }, /subjects\.0\.perItem\.top1: 2 values of 1 items/],
      [{ items: undefined }, /subjects\.0\.perItem\.top1: 2 values of no items/],
      [{ subjects: [subject, subject] }, /subjects\.1\.name: two subjects have the name "pixels"/],
      [{ comparisons: [comparison] }, /comparisons\.0\.baseline: there is no subject "none"/],
      [{ subjects: [{ ...subject, curves: [curve] }] }, /subjects\.0\.curves\.0: the curve has not as many values/],
    ] as const) {
      await assert.rejects(readResult(await written(JSON.stringify({ ...result, ...changed }))), { message });
    }
  });

  it('names the file and what is wrong with it', async () => {
    for (const [text, message] of [
      ['{', /result\.json is not JSON/],
      ['{}', /is not a result of vicregl evaluate: it has no "format"/],
      [
        JSON.stringify({ ...result, formatVersion: 9 }),
        /is a result of format version 9, and this version of vicregl reads 1/,
      ],
      [JSON.stringify({ ...result, seed: -1 }), /is a damaged result; run the evaluation again:\n {2}seed: /],
    ] as const) {
      await assert.rejects(readResult(await written(text)), { name: 'ResultError', message });
    }
    const many = { ...result, items: Array.from({ length: 9 }, () => 1) };
    await assert.rejects(
      readResult(await written(JSON.stringify(many))),
      /items\.0: .*\n.*items\.4: .*\n {2}and \d+ more$/s,
    );
    await assert.rejects(readResult(join(dir, 'missing.json')), /missing\.json cannot be read/);
  });
});
