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
    await assert.rejects(readResult(join(dir, 'missing.json')), /missing\.json cannot be read/);
  });
});
