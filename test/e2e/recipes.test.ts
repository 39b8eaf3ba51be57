import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { learningRate } from '../../src/optim/schedule.js';
import { parseTrainConfig } from '../../src/train/config.js';
import { loadTrainConfig } from '../../src/train/configFile.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/** Every file in recipes/, and the command that lists them. */

const files = (await readdir('recipes')).filter((name) => name.endsWith('.yaml')).sort();

describe('the shipped recipes', () => {
  test('are all valid and have unique names', async () => {
    const configs = await Promise.all(files.map((file) => loadTrainConfig(join('recipes', file))));
    assert.ok(configs.length >= 7);
    assert.equal(new Set(configs.map(({ name }) => name)).size, configs.length);
  });

  test('and the configuration of the bundled model are valid in this version', async () => {
    const { name } = await loadTrainConfig('models/vicregl-resnet18-half/config.yaml');
    assert.equal(name, 'vicregl-resnet18-half');
  });

  test('have no shared file that no recipe extends', async () => {
    const extended = await Promise.all(
      files.map(async (file) => (parse(await readFile(join('recipes', file), 'utf8')) as { extends?: string }).extends),
    );
    for (const shared of await readdir('recipes/shared')) {
      assert.ok(extended.includes(`./shared/${shared}`), `recipes/shared/${shared} is not used`);
    }
  });

  // the published settings, batch size and peak learning rate (base rate x batch / 256)
  const published = [
    ['resnet50-100ep', 'resnet50', 'lars', 512, 100, 0.6, 2],
    ['resnet50-300ep', 'resnet50', 'lars', 2048, 300, 1.6, 2],
    ['convnext-small-400ep', 'convnext_small', 'adamw', 384, 400, 0.001125, 8],
    ['convnext-base-400ep', 'convnext_base', 'adamw', 576, 400, 0.001125, 8],
  ] as const;
  for (const [name, architecture, optimizer, batch, epochs, peak, views] of published) {
    test(`${name} has the authors' optimizer, batch, epochs, learning rate and views`, async () => {
      const config = await loadTrainConfig(join('recipes', `${name}.yaml`));
      assert.deepEqual(
        [config.model.architecture, config.optimizer.kind, config.batchSize, config.epochs],
        [architecture, optimizer, batch, epochs],
      );
      const { baseLr } = config.optimizer;
      const schedule = { baseLr, batchSize: config.batchSize, warmupSteps: 10, totalSteps: 100, endLrRatio: 0.001 };
      assert.ok(Math.abs(learningRate(10, schedule) - peak) < 1e-12);
      assert.equal(2 + (config.crops.small?.count ?? 0), views);
      assert.deepEqual([config.warmupEpochs, config.endLrRatio, config.loss.alpha], [10, 0.001, 0.75]);
    });
  }

  test('are listed by name, and shown as a resolved configuration that train accepts', async () => {
    const list = await vicregl('recipes', 'list');
    assert.equal(list.code, 0, list.stderr);
    assert.deepEqual(
      list.stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0]),
      files.map((file) => basename(file, '.yaml')),
    );
    const shown = await vicregl('recipes', 'show', 'resnet50-300ep');
    assert.equal(shown.code, 0, shown.stderr);
    assert.deepEqual(
      parseTrainConfig(parse(shown.stdout), 'shown'),
      await loadTrainConfig('recipes/resnet50-300ep.yaml'),
    );
  });
});
