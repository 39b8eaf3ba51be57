import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkOutputs, outputsOf } from './evaluationOutputs.js';

const inCell = (path: string) => `${['$', '{CELL}'].join('')}${path}`;
const seed = ['$', '{SEED}'].join('');
const variable = ['$', '{NAME}'].join('');

describe('outputsOf', () => {
  it('has what flags write into the cell, and nothing else', () => {
    const flags = {
      'out-head': inCell(`//heads/${seed}/`),
      pictures: inCell('/a/../pictures'),
      cache: inCell('/features'),
      data: inCell('/data'),
    };
    assert.deepEqual(outputsOf(flags, 7), ['heads/7', 'pictures']);
    assert.deepEqual(outputsOf({ outHead: inCell('/head') }, 7), ['head']);
  });

  it('has nothing outside of the cell, of the run, or whose name is not known', () => {
    for (const path of [
      '',
      '/',
      '/.',
      '/..',
      '/../x',
      '/a/../../x',
      '-x',
      '/checkpoints',
      '/checkpoints/x',
      '/cache',
    ]) {
      assert.deepEqual(outputsOf({ 'out-head': inCell(path) }, 7), [], path);
    }
    for (const path of ['/cell.json', '/knn.json', '/config.yaml', '/.scratch', '/run.lock', `/${variable}`]) {
      assert.deepEqual(outputsOf({ 'out-head': inCell(path) }, 7), [], path);
    }
    assert.deepEqual(outputsOf({ 'out-head': `/tmp/${seed}`, pictures: true }, 7), []);
  });
});

describe('checkOutputs', () => {
  const check = (...flags: Record<string, unknown>[]) =>
    checkOutputs(
      'e.yaml',
      flags.map((each, i) => ({ name: `e${i}`, flags: each })),
    );

  it('takes outputs that have folders of their own, and caches that are shared', () => {
    check(
      { 'out-head': inCell('/head'), cache: inCell('/cache') },
      { 'out-head': inCell(`/head2-${seed}`), cache: inCell('/cache'), pictures: inCell('/pictures') },
      { 'out-head': `/tmp/${variable}` },
    );
  });

  it('refuses outputs that could not be removed alone, naming the flag and the way out', () => {
    const head = { 'out-head': inCell('/head') };
    for (const [flags, message] of [
      [
        [{ 'out-head': inCell('/checkpoints') }],
        /^e\.yaml: evaluations\.e0\.out-head: .*uses this name; choose another/,
      ],
      [[{ 'out-head': inCell(`/${variable}`) }], /no other variable than/],
      [[head, head], /evaluations\.e0\.out-head: .*: evaluations\.e1\.out-head has this folder/],
      [[head, { pictures: inCell('/head/pictures') }], /e1\.pictures has this folder or one in it too/],
      [[head, { cache: inCell('/head/cache') }], /e1\.cache has this folder/],
      [[{ ...head, cache: inCell('/head') }], /e0\.cache has this folder/],
    ] as const) {
      assert.throws(() => check(...flags), { name: 'ExperimentError', message });
    }
  });
});
