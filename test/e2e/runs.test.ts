import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import sharp from 'sharp';
import type { StepRecord } from '../../src/train/runLog.js';
import { runRecords } from '../support/runRecords.js';
import { bin } from '../support/servedProcess.js';
import { tinyConfig, tinyKeys, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl, vicregl as vicreglProcess } from '../support/vicregl.js';

/** `vicregl runs`. */

let scratch: string;
const run = (name: string) => join(scratch, 'runs', name);
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-cli-runs-'));
  const photographs = join(scratch, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
  );
  await trainTiny(run('plain'), tinyConfig(photographs));
  const loss = { ...tinyKeys('').loss, alpha: 1 };
  await trainTiny(run('global-only'), tinyConfig(photographs, { loss, epochs: 3 }));
  await mkdir(run('notes'));
});
after(() => rm(scratch, { recursive: true }));

const rows = (text: string) =>
  new Map(text.split('\n').map((line) => [line.split(/ {2,}/)[0]!, line.split(/ {2,}/).slice(1)]));

/** Mean of a term over a run. The run is shorter than the 50 steps of the mean in the output. */
async function mean(name: string, term: string): Promise<string> {
  const values = (await runRecords(run(name))).map((record) => (record as StepRecord)[term]!);
  return String(Number((values.reduce((sum, value) => sum + value, 0) / values.length).toPrecision(4)));
}

describe('vicregl runs', () => {
  test('compare draws overlaid curves, and prints the last terms and the differing keys', async () => {
    const out = join(scratch, 'compare.svg');
    const { code, stdout, stderr } = await vicregl('runs', 'compare', run('plain'), run('global-only'), '--out', out);
    assert.equal(code, 0, stderr);
    const found = rows(stdout);
    assert.deepEqual(found.get('run'), ['plain', 'global-only']);
    assert.deepEqual(found.get('steps'), ['4', '6']);
    assert.deepEqual(found.get('l'), [await mean('plain', 'l'), await mean('global-only', 'l')]);
    assert.deepEqual(found.get('minv_l'), [await mean('plain', 'minv_l')]);
    assert.deepEqual(found.get('loss.alpha'), ['0.75', '1']);
    assert.deepEqual(found.get('epochs'), ['2', '3']);
    assert.equal(found.has('batchSize'), false);
    const svg = await readFile(out, 'utf8');
    for (const word of ['plain', 'global-only', 'inv_l', 'minv_l', 'stde']) assert.ok(svg.includes(`>${word}<`), word);
  });

  test('compare draws the requested terms, also as PNG', async () => {
    const out = join(scratch, 'compare.png');
    const { code, stdout, stderr } = await vicregl('runs', 'compare', run('plain'), '--terms', 'l, lr', '--out', out);
    assert.equal(code, 0, stderr);
    const found = rows(stdout);
    for (const term of ['l', 'lr']) assert.deepEqual(found.get(term), [await mean('plain', term)]);
    const { format, width } = await sharp(out).metadata();
    assert.deepEqual([format, width > 800], ['png', true]);
  });

  test('list names the runs of a folder, and show summarises one', async () => {
    const list = await vicregl('runs', 'list', join(scratch, 'runs'));
    assert.equal(list.code, 0, list.stderr);
    const found = rows(list.stdout);
    assert.deepEqual([...found.keys()].slice(0, 3), ['run', 'global-only', 'plain']);
    const [backbone, steps, , loss, best] = found.get('plain')!;
    const l = await mean('plain', 'l');
    assert.deepEqual([backbone, steps, loss, best], ['custom', '4', l, `step 4 (l ${l})`]);
    const shown = JSON.parse((await vicregl('runs', 'show', run('plain'))).stdout);
    assert.deepEqual([shown.name, shown.steps, shown.epochs, shown.best.step], ['plain', 4, 2, 4]);
  });

  test('list has the runs beside folders that are damaged or of other tools', async () => {
    const parent = join(scratch, 'mixed');
    await cp(run('plain'), join(parent, 'plain'), { recursive: true });
    await cp(run('plain'), join(parent, 'log'), { recursive: true });
    await rm(join(parent, 'log', 'log.jsonl'));
    await mkdir(join(parent, 'log', 'log.jsonl'));
    const configs = { other: 'a: 1\n', 'cut\u001b[31m': '{\n' };
    for (const [name, text] of Object.entries(configs)) {
      await mkdir(join(parent, name));
      await writeFile(join(parent, name, 'config.yaml'), text);
    }
    await mkdir(join(parent, 'folder', 'config.yaml'), { recursive: true });
    // As a process, whose console is the one that escapes names.
    const { code, stdout, stderr } = await vicreglProcess('runs', 'list', parent);
    assert.equal(code, 0, stderr);
    assert.deepEqual([...rows(stdout).keys()].slice(0, 2), ['run', 'plain']);
    const shown = (name: string) => join(parent, name).replace('\u001b', '\\u001b');
    const path = (name: string) => join(shown(name), 'config.yaml');
    assert.deepEqual(
      stdout.trim().split('\n').slice(2),
      [
        [
          shown('cut\u001b[31m'),
          `${path('cut\u001b[31m')} is not YAML: Flow map must end with a } at line 2, column 1`,
        ],
        [shown('folder'), `${path('folder')} cannot be read: it is a folder, not a file`],
        [shown('log'), `${join(shown('log'), 'log.jsonl')} cannot be read: it is a folder, not a file`],
        [shown('other'), `${path('other')} is not a valid training configuration`],
      ].map(([folder, problem]) => `${folder}  not readable: ${problem}`),
    );
  });

  test('a picture beyond the size limit of files is an error, not the end of the process', async () => {
    const command = [process.execPath, bin, 'runs', 'compare', run('plain'), '--out', join(scratch, 'limited.svg')];
    await assert.rejects(
      promisify(execFile)('bash', ['-c', 'ulimit -f 8; exec "$0" "$@"', ...command]),
      (error: Error & { code?: unknown; stderr?: string }) => {
        assert.equal(error.code, 1, error.stderr);
        assert.match(error.stderr!, /^vicregl: --out: .*limited\.svg cannot be written: .*ulimit -f.*\(EFBIG\)/);
        return true;
      },
    );
  });

  test('errors are one clear line each', async () => {
    const cases: [string[], RegExp][] = [
      [['compare', run('notes')], /^vicregl: .*notes is not a run folder: it holds no config\.yaml/],
      [['compare', run('plain'), '--terms', 'lol'], /^vicregl: no run has logged "lol"; logged terms: core, /],
      [['compare', run('plain'), '--out', 'x.jpg'], /must end in \.svg or \.png/],
      [
        ['list', join(scratch, 'nowhere')],
        /^vicregl: the folder of runs: .*nowhere cannot be read: there is no such file or folder/,
      ],
    ];
    for (const [args, expected] of cases) {
      const { code, stderr } = await vicregl('runs', ...args);
      assert.equal(code, 1);
      assert.match(stderr, expected);
    }
  });
});
