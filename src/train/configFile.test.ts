import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ConfigError } from './config.js';
import { loadTrainConfig } from './configFile.js';

describe('a configuration file', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vicregl-config-'));
    await writeFile(
      file('a.yaml'),
      'name: a\ndata: {source: p}\ncrops: {}\nmodel: {}\nbatchSize: 8\nepochs: 20\nloss:\n',
    );
    await writeFile(file('broken.yaml'), 'name: [1');
    await writeFile(file('list.yaml'), '- 1');
  });
  after(() => rm(folder, { recursive: true }));

  it('can be overridden key by key, with values in YAML', async () => {
    await assert.rejects(loadTrainConfig(file('a.yaml')), /loss: /); // the file has an empty group
    const config = await loadTrainConfig(file('a.yaml'), [
      'optimizer.baseLr=2e-3',
      'loss.numMatches=[5, 3]',
      'name=run=2',
      'crops.mirrorFlippedGrid=false',
      'name=last wins',
    ]);
    assert.equal(config.optimizer.baseLr, 0.002);
    assert.deepEqual(config.loss.numMatches, [5, 3]);
    assert.equal(config.crops.mirrorFlippedGrid, false);
    assert.equal(config.name, 'last wins');
  });

  describe('with the best checkpoint of a metric', () => {
    /** As a run's config.yaml, which has all defaults. */
    const written = async (name: string, best: string) => {
      const keys = 'name: a\ndata: {source: p, labels: folders}\nbatchSize: 8\nepochs: 20';
      await writeFile(file(name), `${keys}\ncheckpoints: {best: ${best}}\n`);
      return file(name);
    };
    const bestOf = async (path: string, ...set: string[]) => (await loadTrainConfig(path, set)).checkpoints.best;

    it('takes the mode of another metric that is set or that extends it', async () => {
      const path = await written('usual.yaml', '{metric: l, mode: min}');
      assert.deepEqual(await bestOf(path), { metric: 'l', mode: 'min' });
      const top1 = { metric: 'top1', mode: 'max' };
      assert.deepEqual(await bestOf(path, 'checkpoints.best.metric=top1'), top1);
      assert.deepEqual(await bestOf(path, 'checkpoints={best: {metric: top1}}'), top1);
      await writeFile(file('other.yaml'), 'extends: usual.yaml\ncheckpoints: {best: {metric: top1}}');
      assert.deepEqual(await bestOf(file('other.yaml')), top1);
      assert.deepEqual(await bestOf(file('other.yaml'), 'checkpoints.best.metric=corr'), {
        metric: 'corr',
        mode: 'min',
      });
    });

    it('keeps a mode that is set, or that is not the usual one', async () => {
      const usual = await written('usual.yaml', '{metric: l, mode: min}');
      const set = ['checkpoints.best.mode=min', 'checkpoints.best.metric=top1'];
      assert.deepEqual(await bestOf(usual, ...set), { metric: 'top1', mode: 'min' });
      assert.deepEqual(await bestOf(usual, ...set.toReversed()), { metric: 'top1', mode: 'min' });
      const other = await written('unusual.yaml', '{metric: l, mode: max}');
      assert.deepEqual(await bestOf(other, 'checkpoints.best.metric=corr'), { metric: 'corr', mode: 'max' });
    });
  });

  const settings: Record<string, RegExp> = {
    epochs: /--set epochs: write key=value/,
    '=3': /--set =3: write key=value/,
    'epochs.count=3': /--set epochs\.count=3: "epochs" is not a group of keys/,
    'optimizer.lr=3': /optimizer: .*"lr"/,
    'loss.numMatches=[1': /--set loss\.numMatches=\[1: the value is not YAML/,
    'epochs=': /epochs: /,
    '__proto__.polluted=1': /"__proto__" is no key/,
    'epochs=none': /^--set epochs=none does not fit .*a\.yaml:\n {2}epochs: "none" is an invalid input/,
    'loss.numMatches.0=3': /--set loss\.numMatches\.0=3: a list is set as a whole, such as loss\.numMatches=\[1, 2\]/,
    'loss.numMatches[0]=3': /a list is set as a whole, such as loss\.numMatches=\[1, 2\]/,
    'optimiser=null': /--set optimiser=null: "optimiser" is no key; did you mean optimizer\?/,
    'crops.smal=null': /--set crops\.smal=null: crops: "smal" is no key; did you mean small\?/,
    'crops={size: 64, smal: null}': /crops: "smal" is no key; did you mean small\?/,
    'model.depths.x=null': /model\.depths|"depths" is not a group/,
  };
  for (const [setting, message] of Object.entries(settings)) {
    it(`rejects --set ${setting}`, async () => {
      await assert.rejects(loadTrainConfig(file('a.yaml'), ['loss.alpha=1', setting]), (error: unknown) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.equal(Reflect.get({}, 'polluted'), undefined);
    });
  }

  it('is not named in errors of a flag, nor a flag in errors of the file', async () => {
    await writeFile(file('wrong.yaml'), 'name: a\ndata: {source: p}\nbatchSize: 8\nepochs: -1\n');
    const settings = ['loss.alpha=3', { text: 'microBatch=3', flag: '--micro-batch 3' }];
    await assert.rejects(loadTrainConfig(file('wrong.yaml'), settings), (error: Error) => {
      assert.match(error.message, /wrong\.yaml with --set loss\.alpha=3 --micro-batch 3 is not a valid training/);
      assert.match(error.message, /\n {2}epochs: -1 is too small: .*>=0$/m);
      assert.match(error.message, /\n {2}loss\.alpha: 3 is too big: .* \(--set loss\.alpha=3\)$/m);
      return true;
    });
    await writeFile(file('right.yaml'), 'name: a\ndata: {source: p}\nbatchSize: 8\nepochs: 20\n');
    await assert.rejects(loadTrainConfig(file('right.yaml'), settings.slice(1)), {
      message:
        /^--micro-batch 3 does not fit .*right\.yaml:\n {2}microBatch: 3 does not divide batchSize 8; use 2 or 4$/,
    });
  });

  it('is named if it is missing, is not YAML, or contains no keys', async () => {
    await assert.rejects(loadTrainConfig(file('none.yaml')), {
      name: 'ConfigError',
      message: /none\.yaml cannot be read: there is no such file or folder/,
    });
    await assert.rejects(loadTrainConfig(file('broken.yaml')), {
      name: 'ConfigError',
      message: /broken\.yaml is not YAML/,
    });
    await assert.rejects(loadTrainConfig(file('list.yaml')), {
      name: 'ConfigError',
      message: /list\.yaml holds no keys/,
    });
  });

  describe('that extends another', () => {
    const write = (name: string, text: string) => writeFile(file(name), text);
    before(async () => {
      await mkdir(file('nested'));
      await write(
        'root.yaml',
        'name: root\ndata: {source: p}\ncrops: {size: 128, small: {count: 6}}\nmodel: {}\nbatchSize: 8\nepochs: 20\n' +
          'loss: {alpha: 0.9, numMatches: [5, 4]}\n',
      );
      await write('nested/middle.yaml', 'extends: ../root.yaml\nname: middle\nloss: {numMatches: [6, 3]}\n');
      await write('nested/leaf.yaml', 'extends: ./middle.yaml\nname: leaf\nepochs: 30\ncrops: {small: null}\n');
    });

    it('merges groups, replaces lists and values, and removes keys that are null', async () => {
      const config = await loadTrainConfig(file('nested/leaf.yaml'), ['loss.alpha=0.5']);
      assert.deepEqual(
        [config.name, config.epochs, config.batchSize, config.loss.alpha, config.loss.numMatches, config.crops.size],
        ['leaf', 30, 8, 0.5, [6, 3], 128],
      );
      assert.equal(config.crops.small, undefined);
      assert.equal((await loadTrainConfig(file('nested/middle.yaml'))).crops.small?.count, 6);
      assert.equal((await loadTrainConfig(file('nested/middle.yaml'), ['crops.small=null'])).crops.small, undefined);
    });

    const refused: Record<string, readonly [string, RegExp]> = {
      'a file that is not there': [
        'extends: ./gone.yaml',
        /gone\.yaml, which .*x\.yaml extends, cannot be read: there is no such file or folder/,
      ],
      itself: ['extends: ./x.yaml', /x\.yaml: extends goes round in a circle: .*x\.yaml -> .*x\.yaml$/],
      'a list': ['extends: [a.yaml]', /x\.yaml: extends must name one file, .*, not \["a\.yaml"\]/],
      nothing: ['extends:', /x\.yaml: extends must name one file, .*, not null/],
      'a file that extends it back': [
        'extends: ./y.yaml',
        /y\.yaml: extends goes round in a circle: .*x\.yaml -> .*y\.yaml -> /,
      ],
    };
    for (const [what, [text, message]] of Object.entries(refused)) {
      it(`rejects ${what}`, async () => {
        await write('x.yaml', text);
        await write('y.yaml', 'extends: ./x.yaml');
        await assert.rejects(loadTrainConfig(file('x.yaml')), { name: 'ConfigError', message });
      });
    }

    it('reports a wrong key under the name of the requested file', async () => {
      await write('x.yaml', 'extends: ./root.yaml\nepoch: 3\n');
      await assert.rejects(loadTrainConfig(file('x.yaml')), /x\.yaml is not a valid .*\n {2}\(top level\): .*"epoch"/);
    });
  });
});
