import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BATCH, learn, shrunk } from '../../test/support/learning.js';
import { long } from '../../test/support/longTests.js';
import { writePhotographs } from '../../test/support/tinyRun.js';
import type { ResNetConfig } from '../nn/resnet.js';
import { parseTrainConfig } from './config.js';
import { loadTrainConfig } from './configFile.js';
import { configWarnings, scheduleOf } from './plan.js';
import { usualBaseLr, usualWarmupEpochs } from './rates.js';

let photographs: string;
before(async () => {
  photographs = await mkdtemp(join(tmpdir(), 'vicregl-rates-'));
  await writePhotographs(
    photographs,
    Array.from({ length: 16 }, (_, i) => `${i}.jpg`),
  );
});
after(() => rm(photographs, { recursive: true }));

const minimal = { name: 'a', data: { source: 'photos' }, crops: {}, model: {}, batchSize: 8, epochs: 6 };
const config = (keys: object) => parseTrainConfig({ ...minimal, ...keys }, 'x.yaml');
/** Warnings for a configuration with a number of steps per epoch. */
const warnings = (keys: object, stepsPerEpoch = 10) => {
  const given = config(keys);
  return configWarnings(given, scheduleOf(given, stepsPerEpoch), 'cpu');
};

describe('the default base rates', () => {
  it('equal those of the authors for their batch sizes: ConvNeXt-S at 384, a ResNet-50 with LARS at 128 to 2048', () => {
    assert.equal(usualBaseLr('adamw', 384), 0.00075);
    assert.deepEqual(
      [64, 128, 512, 2048].map((batch) => usualBaseLr('lars', batch)),
      [0.8, 0.8, 0.4, 0.2],
    );
    for (const [batch, authors] of [
      [256, 0.5],
      [1024, 0.3],
    ] as const) {
      const found = usualBaseLr('lars', batch);
      assert.ok(Math.abs(found / authors - 1) < 0.15, `${batch}: ${found}`);
    }
  });

  it('apply to a configuration without a rate, by optimizer, and do not replace a given rate', () => {
    for (const kind of ['adamw', 'lars', 'sgd'] as const) {
      assert.equal(config({ optimizer: { kind } }).optimizer.baseLr, usualBaseLr(kind, 8));
      assert.equal(config({ optimizer: { kind, baseLr: 0.123 } }).optimizer.baseLr, 0.123);
    }
  });

  it('include a warm-up of 10 epochs, as the authors have, and of a tenth of a shorter run', () => {
    assert.deepEqual([400, 100, 50, 6, 0.5].map(usualWarmupEpochs), [10, 10, 5, 0.6, 0.05]);
    assert.equal(config({}).warmupEpochs, 0.6);
    assert.equal(config({ warmupEpochs: 0 }).warmupEpochs, 0);
  });
});

describe('a warning', () => {
  it('is not given for any default or recipe', async () => {
    for (const kind of ['adamw', 'lars', 'sgd']) {
      for (const batchSize of [2, 8, 64, 1024, 8192]) {
        assert.deepEqual(warnings({ optimizer: { kind }, batchSize }), [], `${kind} ${batchSize}`);
      }
    }
    for (const file of (await readdir('recipes')).filter((name) => name.endsWith('.yaml'))) {
      const recipe = await loadTrainConfig(join('recipes', file));
      assert.deepEqual(configWarnings(recipe, scheduleOf(recipe, 25), 'cpu'), [], file);
    }
  });

  it("names a rate that is far too small, such as AdamW's rate with LARS or a batch of 8, with the numbers", () => {
    assert.deepEqual(warnings({ optimizer: { baseLr: 0.00075 } }), [
      'the peak learning rate is 0.0000234 (optimizer.baseLr 0.00075 x batchSize 8 / 256), 6.93 times smaller than is ' +
        'usual for adamw with this batch (0.000162): the network may hardly learn. Usual: --set optimizer.baseLr=0.0052',
    ]);
    assert.match(
      warnings({ optimizer: { kind: 'lars', baseLr: 0.00075 } })[0]!,
      /1070 times smaller .* for lars .*baseLr=0\.8$/,
    );
  });

  it('names a rate that is far too large, such as the rate of LARS with AdamW', () => {
    assert.match(
      warnings({ optimizer: { baseLr: 0.8 }, batchSize: 64 })[0]!,
      /^the peak learning rate is 0\.2 .* 435 times larger .* may diverge\. Usual: --set optimizer\.baseLr=0\.00184$/,
    );
  });

  it('names a warm-up that takes most or all steps of the run', () => {
    assert.deepEqual(warnings({ warmupEpochs: 5 }), [
      'the warm-up takes 50 of 60 steps (warmupEpochs 5 of epochs 6): the learning rate rises from 0 for so long, and its ' +
        'peak of 0.000162 is reached only in step 51. Usual: --set warmupEpochs=0.6',
    ]);
    // 1.5 and 1.9 epochs of one step are two steps each.
    assert.match(warnings({ epochs: 1.9, warmupEpochs: 1.5 }, 1)[0]!, /takes 2 of 2 steps .* is never reached/);
    assert.deepEqual(warnings({ warmupEpochs: 3 }), []);
  });
});

const STEPS = 60;
/** A ResNet with the smallest layers. */
const resNet: ResNetConfig = { family: 'resnet', block: 'basic', layers: [1, 1, 1, 1], width: 8 };

describe(`${STEPS} steps move the weights and lower the loss`, () => {
  for (const kind of ['adamw', 'lars', 'sgd'] as const) {
    it(`with the defaults of ${kind}, and at the peak rates of the recipes that use it`, long, async () => {
      /** Base rates for a small batch, by their source. Those with the same peak rate occur once. */
      const rates = new Map([[usualBaseLr(kind, BATCH), `the defaults of ${kind}`]]);
      for (const file of (await readdir('recipes')).filter((name) => name.endsWith('.yaml'))) {
        const { optimizer, batchSize, model } = await loadTrainConfig(join('recipes', file));
        if (optimizer.kind !== kind) continue;
        assert.equal(optimizer.kind === 'lars', model.architecture.startsWith('resnet'), file);
        rates.set((optimizer.baseLr * batchSize) / BATCH, file);
      }
      assert.ok(rates.size >= { adamw: 3, lars: 4, sgd: 1 }[kind], [...rates.values()].join());
      const small = shrunk(config({ optimizer: { kind }, crops: { scale: [0.3, 1] } }), photographs, STEPS);
      const learned = await learn(small, {
        baseLrs: [...rates.keys()],
        backbone: kind === 'lars' ? resNet : undefined,
      });
      for (const [i, what] of [...rates.values()].entries()) {
        const { first, last, moved } = learned[i]!;
        assert.ok(moved > 1e-3, `${what}: the weights moved by ${moved} of their length`);
        assert.ok(last < 0.985 * first, `${what}: the loss went from ${first} to ${last}`);
      }
    });
  }
});
