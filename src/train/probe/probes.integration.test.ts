import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeColouredImages } from '../../../test/support/colouredImages.js';
import { numbers, relativeError } from '../../../test/support/graphs.js';
import { runRecords } from '../../../test/support/runRecords.js';
import { tinyConfig, trainTiny, trainUntil, writePhotographs } from '../../../test/support/tinyRun.js';
import { openImageSource } from '../../data/sources.js';
import { backboneGraph } from '../../models/inferenceGraphs.js';
import type { BackboneConfig } from '../../nn/backbone.js';
import { initialise } from '../../nn/parameters.js';
import { encodeModel } from '../../onnx/encode.js';
import { Graph, TRAINING_OPSET } from '../../onnx/graph.js';
import { createSession, runSession } from '../../onnx/session.js';
import { stream } from '../../tensor/random.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { loadCheckpoint, readCheckpointIndex } from '../checkpoint.js';
import { networkSpecs } from '../networkSpecs.js';
import type { LogRecord } from '../runLog.js';
import { createLinearProbe } from './linearProbe.js';
import { emitRepresentation, networkFeeds } from './representation.js';

let root: string;
let photographs: string;
/** Images of two classes that differ in colour. The last image is broken. */
let labelled: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-probe-'));
  photographs = join(root, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 9 }, (_, i) => `${i}.jpg`),
  );
  labelled = join(root, 'labelled');
  await writeColouredImages(labelled, 12);
  await writeFile(join(labelled, 'blue', 'broken.png'), 'no image');
});
after(() => rm(root, { recursive: true }));

let runs = 0;
const newRun = () => join(root, `run-${runs++}`);
/** 8 steps in 4 epochs of 2. */
const keys = (probe: object, more: object = {}) =>
  tinyConfig(photographs, { epochs: 4, checkpoints: { every: 3 }, probe: { data: labelled, ...probe }, ...more });
const knn = { everyEpochs: 2, k: 3, trainImages: 16, testImages: 100 };
const linear = { batchSize: 6 };

type Logged = Readonly<Record<string, number>>;
const probed = async (run: string): Promise<Logged[]> =>
  (await runRecords(run)).filter((record) => 'knn_top1' in record || 'probe_l' in record) as Logged[];
const withoutClock = (record: LogRecord) => ({ ...record, images_per_s: 0, wait_share: 0 });

describe('probes of a run', () => {
  it('run on schedule and at the end, and do not change the training', async () => {
    const [run, plain] = [newRun(), newRun()];
    await trainTiny(run, keys({ knn, linear: { ...linear, everySteps: 3 } }));
    await trainTiny(plain, keys({ knn }, { probe: undefined }));
    const log = await probed(run);
    assert.deepEqual(
      log.map((record) => Object.keys(record).join(' ')),
      [
        'step probe_l probe_top1 probe_top5',
        'step knn_top1 knn_top5',
        'step probe_l probe_top1 probe_top5',
        'step knn_top1 knn_top5',
      ],
    );
    assert.deepEqual(
      log.map(({ step }) => step),
      [3, 4, 6, 8],
    );
    for (const record of log) {
      if ('probe_l' in record)
        assert.ok(record['probe_l']! > 0 && record['probe_l']! < 1 && record['probe_top5'] === 1);
      // Two colours and five held-out images: even an untrained network classifies most of them correctly.
      else assert.ok(record['knn_top1']! >= 0.6 && record['knn_top5'] === 1, JSON.stringify(record));
    }
    const own = (records: LogRecord[]) => records.filter((record) => 'lr' in record).map(withoutClock);
    assert.deepEqual(own(await runRecords(run)), own(await runRecords(plain)));
    const [{ tensors }, { tensors: without }] = [await loadCheckpoint(run), await loadCheckpoint(plain)];
    for (const [name, value] of without) assert.deepEqual(tensors.get(name), value, name);
    assert.deepEqual(
      [...tensors.keys()].filter((name) => !without.has(name)),
      ['probe.weight', 'probe.bias', 'momentum/probe.weight', 'momentum/probe.bias'],
    );
  });

  it('give the same results after a stop and with several steps per run of the graph', async () => {
    const config = (stepsPerRun: number) => keys({ knn, linear: { ...linear, everySteps: 2 } }, { stepsPerRun });
    const [whole, parts] = [newRun(), newRun()];
    await trainTiny(whole, config(1));
    await trainUntil(parts, config(2), 2);
    await trainUntil(parts, config(2), 5, true);
    await trainTiny(parts, config(2), { resume: true });
    const outcome = async (run: string) => ({
      log: (await runRecords(run)).map(withoutClock),
      tensors: (await loadCheckpoint(run)).tensors,
    });
    assert.deepEqual(await outcome(parts), await outcome(whole));
    assert.deepEqual(
      (await probed(whole)).map(({ step }) => step),
      [2, 4, 6, 8],
    );
  });

  it('report a broken image once', async () => {
    const run = newRun();
    await trainTiny(run, keys({ knn: { ...knn, everyEpochs: 1, trainImages: 100 }, linear }));
    const skipped = (await runRecords(run)).filter((record) => 'skipped' in record);
    assert.deepEqual(
      skipped.map((record) => 'skipped' in record && record.skipped),
      ['probe: blue/broken.png'],
    );
  });

  it('take all neighbours that can be decoded where they are fewer than k, and say so once', async () => {
    const few = join(root, 'few');
    await writeColouredImages(few, 2);
    await writeFile(join(few, 'red', 'broken.png'), 'no image');
    const notes: string[] = [];
    const run = newRun();
    const watched = { progress: { note: (text: string) => void notes.push(text) } };
    await trainTiny(run, keys({ data: few, test: labelled, knn: { ...knn, k: 5 } }), watched);
    const log = await probed(run);
    assert.deepEqual(
      log.map(({ step }) => step),
      [4, 8],
    );
    // Two neighbours of each colour: the nearer ones decide, as with k = 4.
    const other = newRun();
    await rm(join(few, 'red', 'broken.png'));
    await trainTiny(other, keys({ data: few, test: labelled, knn: { ...knn, k: 4 } }));
    assert.deepEqual(log, await probed(other));
    assert.deepEqual(
      notes.filter((note) => note.includes('probe.knn.k')),
      [
        'step 4: only 4 of the images in which the k-NN probe looks for neighbours can be decoded, fewer than probe.knn.k (5); it takes all of them',
      ],
    );
  });

  it('do not end a run if none of their images can be decoded', async () => {
    const broken = join(root, 'all-broken');
    for (const name of ['red', 'blue']) {
      await mkdir(join(broken, name), { recursive: true });
      for (let i = 0; i < 3; i++) await writeFile(join(broken, name, `${i}.png`), 'no image');
    }
    const notesOf = async (probe: object): Promise<string[]> => {
      const [run, notes] = [newRun(), [] as string[]];
      await trainTiny(run, keys(probe), { progress: { note: (text: string) => void notes.push(text) } });
      assert.equal((await runRecords(run)).filter((record) => 'lr' in record).length, 8);
      assert.deepEqual(await probed(run), []);
      return notes.filter((note) => note.includes(' probe '));
    };
    assert.deepEqual(await notesOf({ data: labelled, test: broken, knn }), [
      'step 4: the k-NN probe measures nothing: none of its test images can be decoded',
    ]);
    assert.deepEqual(await notesOf({ data: broken, test: labelled, knn }), [
      'step 4: the k-NN probe measures nothing: none of the images in which it looks for neighbours can be decoded',
    ]);
    const [failed, ...more] = await notesOf({ data: broken, linear: { batchSize: 2 } });
    assert.match(failed!, /^step 1: the linear probe failed, and the run goes on: .*cannot be decoded/);
    assert.deepEqual(more, []);
  });

  it('select the best checkpoint if its metric is one of theirs', async () => {
    const run = newRun();
    const best = { metric: 'knn_top1', mode: 'max' };
    await trainTiny(run, keys({ knn: { ...knn, everyEpochs: 1 } }, { checkpoints: { every: 2, best } }));
    const log = await probed(run);
    const top = Math.max(...log.map((record) => record['knn_top1']!));
    const index = await readCheckpointIndex(run);
    assert.deepEqual(
      [index.best?.value, index.best?.step],
      [top, log.find((record) => record['knn_top1'] === top)!['step']],
    );
  });

  it('use the training data by default, and reject other data on resuming', async () => {
    const run = newRun();
    const config = keys({ data: undefined, knn }, { data: { source: labelled, labels: 'folders' }, epochs: 0.7 });
    await trainTiny(run, config);
    assert.deepEqual(
      (await probed(run)).map(({ step }) => step),
      [4],
    );

    const other = newRun();
    const copy = join(root, 'copy');
    await cp(labelled, copy, { recursive: true });
    await trainUntil(other, keys({ data: copy, knn }), 2);
    await rm(join(copy, 'red', '11.png'));
    await assert.rejects(trainTiny(other, keys({ data: copy, knn }), { resume: true }), /is not what the run saw/);
  });

  it('reject too few images before anything is written', async () => {
    await assert.rejects(trainTiny(newRun(), keys({ knn: { ...knn, k: 30 } })), {
      name: 'ConfigError',
      message: /^probe\.knn\.k is 30, but .* has only 16 images to look for neighbours/,
    });
    await assert.rejects(trainTiny(newRun(), keys({ linear: { batchSize: 99 } })), {
      name: 'ConfigError',
      message: /^probe\.linear\.batchSize is 99, but .* has only 25 images/,
    });
  });
});

describe('the probed representation', () => {
  const backbones: Readonly<Record<string, BackboneConfig>> = {
    convnext: { family: 'convnext', depths: [1, 1], widths: [8, 16] },
    resnet: { family: 'resnet', block: 'basic', layers: [1, 1, 1, 1], width: 8 },
  };
  for (const [name, backbone] of Object.entries(backbones)) {
    it(`of a ${name} equals that of the exported graph, including running statistics`, async () => {
      const specs = networkSpecs({ model: { backbone }, viewSizes: [64] });
      const weights = new Map<string, Tensor>(
        [...specs.parameters, ...specs.buffers].map((spec) => {
          const value = initialise(spec, 5);
          const random = stream(5, spec.name);
          const data = value.data.map((x) => x + random.uniform(0, 0.2));
          return [spec.name, tensor('float32', spec.shape, data)];
        }),
      );
      const random = stream(5, 'pixels');
      const images = tensor(
        'uint8',
        [2, 64, 64, 3],
        Uint8Array.from({ length: 2 * 64 * 64 * 3 }, () => random.integer(256)),
      );
      const graph = new Graph(TRAINING_OPSET);
      const { value, network } = emitRepresentation(graph, backbone, 2, 64);
      graph.output('representation', value);
      const probe = await createSession(encodeModel(graph));
      const exported = await createSession(encodeModel(backboneGraph(backbone, weights)));
      const feeds = new Map([...networkFeeds(network, weights), ['images', images] as const]);
      const ours = (await runSession(probe, feeds)).get('representation')!;
      const theirs = (await runSession(exported, { images })).get('representation')!;
      await probe.release();
      await exported.release();
      assert.ok(relativeError(numbers(ours), numbers(theirs)) < 1e-4);
    });
  }
});

describe('the linear probe', () => {
  const config = () => keys({ linear: { batchSize: 12, lr: 0.5 } });
  const weightsOf = () => {
    const { parameters } = networkSpecs({
      model: { backbone: { family: 'convnext', depths: [1, 1], widths: [8, 16] } },
      viewSizes: [64],
    });
    return new Map<string, Tensor>(parameters.map((spec) => [spec.name, initialise(spec, 3)]));
  };

  it('learns two colours from an untrained network', async () => {
    const source = await openImageSource(labelled, { labels: 'auto' });
    const { probe } = config();
    const learner = await createLinearProbe(config(), probe!.linear!, source, { threads: 1 });
    const weights = weightsOf();
    const losses: number[] = [];
    for (let update = 0; update < 30; update++) losses.push((await learner.learn(update, weights)).terms!.probe_l);
    await learner.close();
    assert.ok(Math.abs(losses[0]! - Math.log(2)) < 0.1, `${losses[0]}`);
    assert.ok(losses.at(-1)! < 0.35, `${losses}`);
  });

  it('restarts if it diverges', async () => {
    const source = await openImageSource(labelled, { labels: 'auto' });
    const { probe } = config();
    const learner = await createLinearProbe(config(), { ...probe!.linear!, lr: 1e38 }, source, { threads: 1 });
    const weights = weightsOf();
    const initial = learner.state();
    let diverged = 0;
    for (let update = 0; update < 4; update++) {
      const { terms } = await learner.learn(update, weights);
      if (terms !== undefined) continue;
      diverged++;
      assert.deepEqual(learner.state(), initial);
    }
    await learner.close();
    assert.ok(diverged >= 1);
  });
});
