import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { stringify } from 'yaml';
import { epochs } from '../../src/data/epochs.js';
import { createLoader } from '../../src/data/loader.js';
import { openImageSource } from '../../src/data/sources.js';
import { parseTrainConfig } from '../../src/train/config.js';
import { type DryRunReport, dryRun } from '../../src/train/dryRun/dryRun.js';
import { sampleCrops } from '../../src/train/dryRun/sampleCrops.js';
import { loaderOptionsOf } from '../../src/train/plan.js';
import { tinyConfig, tinyKeys, writePhotographs } from '../support/tinyRun.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/** `vicregl train --dry-run`. */

let scratch: string;
let photographs: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-cli-dry-'));
  photographs = join(scratch, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 9 }, (_, i) => `${i}.jpg`),
  );
  await writeFile(join(scratch, 'tiny.yaml'), stringify(tinyKeys(photographs)));
});
after(() => rm(scratch, { recursive: true }));

describe('vicregl train --dry-run', () => {
  test('prints the plan of the run and draws crops, without training', async () => {
    const out = join(scratch, 'run');
    const { code, stdout, stderr } = await vicregl(
      ...['train', '--dry-run', '--config', join(scratch, 'tiny.yaml'), '--out', out],
      ...['--set', 'model.widths=[32,64]'],
    );
    assert.equal(code, 0, stderr);
    const rows = new Map(stdout.split('\n').map((line) => line.split(/ {2,}/, 2) as [string, string]));
    assert.equal(rows.get('photographs'), '9');
    // Backbone: stem 1,632, blocks of 32 and 64 channels 10,016 and 36,416, 8,320 between, the last norm 128
    assert.match(rows.get('parameters')!, /^0\.06 M \(backbone 0\.06 M, expander 0\.00 M, localProjector 0\.00 M\)$/);
    assert.match(rows.get('memory, at least')!, /^\d+ MiB: weights and optimizer \d+ MiB, graph \d+ MiB, .*512 MiB of/);
    assert.equal(rows.get('steps'), '4 of 4 photographs: 2 epochs of 2, 1 of warm-up');
    const peak = (0.05 * 4) / 256;
    assert.ok(rows.get('learning rate')!.startsWith(`step 1: 0, step 2: ${Number(peak.toPrecision(4))}, step 3: `));
    assert.deepEqual(await readdir(out), ['dry-run']);
    assert.deepEqual(await readdir(join(out, 'dry-run')), ['crops.png', 'learning-rate.png', 'learning-rate.svg']);
    // four photographs of 80 x 72 in rows of 256 pixels with gaps of 12, and two views beside each
    const { width, height } = await sharp(join(out, 'dry-run/crops.png')).metadata();
    assert.deepEqual([width, height], [284 + 12 + 2 * 256 + 48, 4 * 268 - 12]);
    assert.match(await readFile(join(out, 'dry-run/learning-rate.svg'), 'utf8'), />learning rate</);
  });

  test('rejects what training would reject, --resume and --distributed', async () => {
    const dry = ['train', '--dry-run', '--config', join(scratch, 'tiny.yaml'), '--out', join(scratch, 'refused')];
    for (const [flags, message] of [
      [
        ['--set', 'data.source=nowhere'],
        /^vicregl: data\.source: nowhere cannot be opened: there is no such file or folder/,
      ],
      [['--set', 'batchSize=10'], /^vicregl: batchSize is 10, but the source has only 9 images/],
      [['--set', 'loss.numMatches=[3,65]'], /loss\.numMatches\.1: 65 exceeds the 64 cells/],
      [['--micro-batch', '3'], /microBatch: 3 does not divide batchSize 4; use 2 or 4/],
      [['--micro-batch', '0'], /--micro-batch <count>.*It must be a whole number of at least 1\./],
      [['--resume'], /^vicregl: --dry-run cannot be combined with --resume/],
      [
        ['--distributed', 'mpi'],
        /^vicregl: --dry-run describes one process and cannot be combined with --distributed; remove --distributed\. .*--micro-batch with batchSize \/ N/,
      ],
      [['--set', 'endLrRatio=5'], /endLrRatio: 5 is a final learning rate above the peak/],
      [['--set', 'checkpoints.best.metric=knn_top1'], /"knn_top1" is not logged by this run: there is no probe\.knn/],
    ] as const) {
      const { code, stderr } = await vicregl(...dry, ...flags);
      assert.equal(code, 1);
      assert.match(stderr, message);
    }
    assert.ok(!(await readdir(scratch)).includes('refused'));
  });
});

describe('a run that needs more memory than available', () => {
  const MIB = 2 ** 20;
  const keys = { batchSize: 8, data: { source: '', cacheBytes: 0 } };
  const report = async (mebibytes: number, more: Readonly<Record<string, unknown>> = {}) => {
    const config = tinyConfig(photographs, { ...keys, data: { ...keys.data, source: photographs }, ...more });
    const options = { memory: { bytes: mebibytes * MIB, limit: 'cgroup' } as const };
    return dryRun(config, join(scratch, 'memory'), options);
  };
  const least = ({ memory: { state, graph, program, batches } }: DryRunReport) => state + graph + program + batches;
  const ofMemory = ({ warnings }: DryRunReport) => warnings.filter((warning) => warning.includes('memory'));

  test('is rejected with both numbers and the largest micro-batch that fits, whose dry run passes', async () => {
    // Large crops, a wide backbone and no matches: the passes of the backbone dominate the memory.
    const { model, loss } = tinyKeys(photographs);
    const large = { crops: { size: 256 }, model: { ...model, widths: [64, 128] }, loss: { ...loss, alpha: 1 } };
    const roomy = await report(2 ** 20, large);
    assert.deepEqual(ofMemory(roomy), []);
    const [whole, half, quarter] = [
      roomy,
      await report(2 ** 20, { ...large, microBatch: 4 }),
      await report(2 ** 20, { ...large, microBatch: 2 }),
    ].map(least);
    assert.ok(whole! > half! && half! > quarter!);
    // Memory for half of the batch with the margin of a quarter, and one byte less.
    for (const [bytes, micro] of [
      [Math.ceil(half! * 1.25), 4],
      [Math.floor(half! * 1.25) - 1, 2],
    ] as const) {
      assert.ok(bytes < whole!, `${bytes} of ${whole}`);
      const [warning, ...others] = ofMemory(await report(bytes / MIB, large));
      assert.deepEqual(others, []);
      assert.match(
        warning!,
        new RegExp(
          `^the run needs at least [\\d.]+ GiB of memory, and this process's cgroup allows [\\d.]+ GiB; --micro-batch ${micro} needs at least`,
        ),
      );
      assert.deepEqual(ofMemory(await report(bytes / MIB, { ...large, microBatch: micro })), []);
    }
    const [several] = ofMemory(await report((half! * 1.25) / MIB, { ...large, stepsPerRun: 2 }));
    assert.match(several!, /; --micro-batch 4 --set stepsPerRun=1 needs/);
    const [one] = ofMemory(await report((whole! * 1.25) / MIB, { ...large, stepsPerRun: 1000 }));
    assert.match(one!, /; --set stepsPerRun=1 needs at least [\d.]+ GiB$/);
  });

  test('has the batches of several steps a run twice, beside those that are made ahead', async () => {
    const batches = async (more: Readonly<Record<string, unknown>>) => (await report(2 ** 20, more)).memory.batches;
    // Two views of 64 pixels and 8 x 8 cells: pixels in bytes, locations in two floats.
    const batch = 8 * 2 * (3 * 64 ** 2 + 8 * 8 ** 2);
    assert.equal(await batches({}), (3 + 1) * batch);
    assert.equal(await batches({ stepsPerRun: 8 }), (8 + 2 * 8) * batch);
    const data = { source: photographs, cacheBytes: 0, prefetchBytes: 0 };
    assert.equal(await batches({ data, stepsPerRun: 8 }), (1 + 2 * 8) * batch);
  });

  test('is rejected if no micro-batch fits, with the cache size of decoded photographs that would fit', async () => {
    const [none] = ofMemory(await report(1));
    assert.match(none!, /; --micro-batch 1 would need [\d.]+ GiB: take a smaller network/);
    const needs = least(await report(2 ** 20));
    const kept = { data: { source: photographs, cacheBytes: 64 * MIB } };
    assert.deepEqual(ofMemory(await report(needs / MIB + 64, kept)), []);
    const [cache] = ofMemory(await report(needs / MIB + 48, kept));
    assert.match(cache!, /set data\.cacheBytes to at most 50331648$/);
    assert.deepEqual(
      ofMemory(await report(needs / MIB + 48, { data: { source: photographs, cacheBytes: 50331648 } })),
      [],
    );
  });

  test('is compared with the memory of this machine, but not if the run uses a GPU', async () => {
    // 7 x 10^10 weights: more than the memory of any machine that runs this test.
    const huge = ['--set', 'model.expander=[262144,262144]', '--out', join(scratch, 'huge')];
    const dry = ['train', '--dry-run', '--config', join(scratch, 'tiny.yaml'), ...huge];
    const { code, stdout, stderr } = await vicregl(...dry);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^warning: the run needs at least [\d.e+]+ GiB of memory, and (this machine has|this process's cgroup allows) [\d.]+ GiB; --micro-batch 1 would need/m,
    );
    const card = await vicregl(...dry, '--device', 'cuda');
    assert.equal(card.code, 0, card.stderr);
    assert.doesNotMatch(card.stdout, /GiB of memory/);
  });
});

describe('the drawn crops', () => {
  test('are the first crops of the first training step, also where a photograph is broken', async () => {
    const damaged = join(scratch, 'damaged');
    await cp(photographs, damaged, { recursive: true });
    const [first] = epochs(9, 4, tinyConfig(damaged).seed).slotsOf(0);
    await writeFile(join(damaged, `${first!.index}.jpg`), 'no image');
    await areTheFirst(photographs);
    await areTheFirst(damaged);
  });

  async function areTheFirst(folder: string): Promise<void> {
    const config = tinyConfig(folder);
    const source = await openImageSource(folder);
    const samples = await sampleCrops(config, source, 3);
    const loader = createLoader(loaderOptionsOf(config, source));
    try {
      const batch = await loader.batch(0);
      samples.forEach(({ name, views }, i) => {
        assert.equal(name, source.nameOf(batch.indices[i]!));
        views.forEach(({ pixels, locations }, v) => {
          const row = (tensor: { data: Uint8Array | Float32Array }, length: number) =>
            tensor.data.slice(i * length, (i + 1) * length);
          assert.deepEqual(pixels, row(batch.views[v]!, pixels.length), `${name}, view ${v}`);
          assert.deepEqual(locations, row(batch.locations[v]!, locations.length), `${name}, locations ${v}`);
        });
      });
    } finally {
      await loader.close();
      await source.close();
    }
  }

  test('show the closest numMatches pairs of nearest cells, and none without a local loss', async () => {
    const source = await openImageSource(photographs);
    const [sample] = await sampleCrops(tinyConfig(photographs), source, 1);
    const [a, b] = sample!.views;
    const distance = (p: number, q: number) =>
      (a.locations[2 * p]! - b.locations[2 * q]!) ** 2 + (a.locations[2 * p + 1]! - b.locations[2 * q + 1]!) ** 2;
    const cells = [...Array(64).keys()];
    const nearest = cells.map((p) => {
      const target = cells.reduce((best, q) => (distance(p, q) < distance(p, best) ? q : best), 0);
      return { source: p, target, distance: distance(p, target) };
    });
    const kept = [...nearest].sort((x, y) => x.distance - y.distance).slice(0, 3);
    const expected = kept.sort((x, y) => x.source - y.source).map(({ source, target }) => ({ source, target }));
    assert.deepEqual(sample!.matches, expected);

    const globalOnly = parseTrainConfig(
      { ...tinyKeys(photographs), loss: { ...tinyKeys('').loss, alpha: 1 } },
      'global only',
    );
    assert.deepEqual((await sampleCrops(globalOnly, source, 1))[0]!.matches, []);
    await source.close();
  });
});
