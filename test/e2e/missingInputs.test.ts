import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { vicreglInHost } from '../support/vicregl.js';

const photo = 'test/fixtures/photos/coffee.jpg';
const bundled = 'vicregl-resnet18-half';
const trains = ['train', '--recipe', 'convnext-atto-128'];

/** Every command with a path that does not exist, and the text that its message must have besides the path. */
const commands: readonly (readonly [given: string, args: (path: string, out: string) => string[]])[] = [
  ['--config', (path, out) => ['train', '--config', path, '--out', out]],
  ['data.source', (path, out) => [...trains, '--set', `data.source=${path}`, '--out', out]],
  ['data.source', (path, out) => [...trains, '--set', `data.source=${path}`, '--out', out, '--dry-run']],
  ['is not a run folder', (path) => ['train', '--out', path, '--resume']],
  [
    'the weights to start from',
    (path, out) => [...trains, '--set', 'data.source=test/fixtures/photos', '--init', path, '--out', out],
  ],
  ['the folder of runs', (path) => ['runs', 'list', path]],
  ['is not a run folder', (path) => ['runs', 'show', path]],
  ['is not a run folder', (path, out) => ['export', path, '--out', out]],
  ['cannot be read', (path, out) => ['import', path, '--out', out]],
  ['--images', (path) => ['evaluate', 'matches', '--images', path]],
  ['--model', (path) => ['evaluate', 'matches', '--images', 'test/fixtures/photos', '--model', path]],
  ['is not a run folder', (path) => ['evaluate', 'matches', '--images', 'test/fixtures/photos', '--run', path]],
  ['--train', (path) => ['evaluate', 'knn', '--train', path]],
  ['is not a run folder', (path) => ['evaluate', 'knn', '--train', path, '--run', path]],
  ['--train', (path) => ['evaluate', 'linear', '--train', path]],
  ['--train', (path) => ['evaluate', 'retrieval', '--train', path]],
  ['--images', (path) => ['evaluate', 'retrieval', '--images', path]],
  ['configuration file', (path) => ['serve', '--config', path]],
  ['tlsCert', (path) => ['serve', '--tls-cert', path, '--tls-key', path]],
  ['tokensFile', (path) => ['serve', '--tokens-file', path]],
  ['--tls-ca', (path) => ['health', '--tls-ca', path]],
  ['--token-file', (path) => ['model', '--token-file', path]],
  ['--model', (path) => ['model', '--model', path]],
  ['the image', (path) => ['embed', path, '--local']],
  ['the image', (path) => ['features', path, '--local']],
  ['the image', (path) => ['match', photo, path, '--local']],
  ['--images', (path) => ['models', 'compare', bundled, bundled, '--images', path]],
  ['--images', (path, out) => ['models', 'quantize', bundled, '--images', path, '--out', out]],
  ['--images', (path) => ['bench', '--images', path]],
];

describe('a path that cannot be opened', () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-missing-'));
    await writeFile(join(scratch, 'file'), '');
  });
  after(() => rm(scratch, { recursive: true }));

  for (const [what, path, reason] of [
    ['is not there', 'nowhere', 'there is no such file or folder'],
    ['leads through a file', 'file/inside', 'a part of the path is a file, not a folder'],
  ] as const) {
    it(`is reported by every command with its option and the reason, when it ${what}`, async () => {
      const at = join(scratch, path);
      for (const [given, args] of commands) {
        const { code, stderr } = await vicreglInHost(...args(at, join(scratch, 'out')));
        const called = args(path, 'out').join(' ');
        assert.equal(code, 1, `${called}: ${stderr}`);
        for (const text of [at, given, reason]) assert.ok(stderr.includes(text), `${called}: ${stderr}`);
        // An error code follows its description and is never alone.
        assert.doesNotMatch(stderr, /(?<!\()\bE[A-Z]{4,}\b/, called);
      }
      assert.deepEqual(await readdir(scratch), ['file']);
    });
  }

  it('is reported as a folder where a file is expected', async () => {
    for (const args of [
      ['train', '--config', scratch, '--out', join(scratch, 'out')],
      ['serve', '--config', scratch],
      ['health', '--tls-ca', scratch],
      ['embed', scratch, '--local'],
    ]) {
      const { stderr } = await vicreglInHost(...args);
      assert.match(stderr, /cannot be read: it is a folder, not a file/, args.join(' '));
    }
  });
});
