import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { pack } from 'tar-stream';
import { parse, parseDocument, stringify } from 'yaml';
import { numbers } from '../../test/support/graphs.js';
import { runRecords } from '../../test/support/runRecords.js';
import { tinyConfig, tinyKeys, trainTiny, trainUntil, writePhotographs } from '../../test/support/tinyRun.js';
import type { Collectives } from '../distributed/collectives.js';
import { createInMemoryGroup } from '../distributed/inMemory.js';
import { readSafetensors, writeSafetensors } from '../tensor/safetensors.js';
import { tensorBytes } from '../tensor/tensor.js';
import { listCheckpoints, loadCheckpoint, readCheckpointIndex } from './checkpoint.js';
import { parseRecordedConfig } from './config.js';
import { resumeNotes } from './resume.js';
import { readRunConfig } from './runFolder.js';
import { lockRun } from './runLock.js';
import type { AlarmRecord, SkipRecord, StepRecord } from './runLog.js';
import { type TrainResult, train } from './trainer.js';

const names = ['a/0.jpg', 'a/1.jpg', 'a/2.jpg', 'a/3.jpg', 'b/4.jpg', 'b/5.jpg', 'b/6.jpg', 'b/7.jpg', 'b/8.jpg'];
const TERMS = [
  'inv_l',
  'var_l',
  'cov_l',
  'minv_l',
  'mvar_l',
  'mcov_l',
  'l',
  'stdr',
  'corr',
  'stde',
  'core',
  'stdm',
  'corm',
  'grad_norm',
];

let root: string;
let photographs: string;
/** A finished run of the tiny configuration on the photographs. */
let plain: string;
let finished: TrainResult;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-train-'));
  photographs = join(root, 'photographs');
  const files = await writePhotographs(photographs, names);
  const archive = pack();
  for (const [name, bytes] of files) archive.entry({ name }, bytes);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  await writeFile(join(root, 'photographs.tar'), Buffer.concat(chunks));
  plain = newRun();
  finished = await trainTiny(plain, tinyConfig(photographs));
});
after(() => rm(root, { recursive: true }));

let runs = 0;
const newRun = () => join(root, `run-${runs++}`);
/** A new copy of a finished run, to continue with. */
async function copyOf(run: string): Promise<string> {
  const copy = newRun();
  await cp(run, copy, { recursive: true });
  return copy;
}
const steps = async (run: string) => (await runRecords(run)).filter((record): record is StepRecord => 'lr' in record);
const skips = async (run: string) =>
  (await runRecords(run)).filter((record): record is SkipRecord => 'skipped' in record);

/** Data that must be equal in two runs: all log lines without times, and the tensors of the last checkpoint. */
async function outcome(run: string) {
  const { step, seed, data, tensors } = await loadCheckpoint(run);
  const log = (await runRecords(run)).map((record): object => ({ ...record, images_per_s: 0, wait_share: 0 }));
  const bytes = [...tensors].map(([name, value]) => [name, Buffer.from(tensorBytes(value)).toString('base64')]);
  return { log, step, seed, data, bytes, index: await readCheckpointIndex(run) };
}

describe('train', () => {
  it('writes configuration, environment, one log line per step and a checkpoint with the optimizer state', async () => {
    const run = plain;
    const config = tinyConfig(photographs);
    // 9 photographs in batches of 4: 2 steps per epoch
    assert.deepEqual(finished, {
      steps: 4,
      totalSteps: 4,
      checkpoint: join(run, 'checkpoints/step-00000004.safetensors'),
    });
    assert.deepEqual((await readdir(run)).sort(), [
      ...['checkpoints', 'config.yaml', 'environment.json', 'log.jsonl', 'tensorboard'],
    ]);
    assert.deepEqual(await readRunConfig(run), config);
    const environment = JSON.parse(await readFile(join(run, 'environment.json'), 'utf8'));
    assert.deepEqual(
      [environment.ranks, environment.threads, environment.node, environment.device],
      [1, 1, process.version, 'cpu'],
    );
    assert.ok(environment.cores >= 1 && environment.memoryBytes > 2 ** 20);

    const log = await steps(run);
    assert.deepEqual(
      log.map(({ step, epoch }) => [step, epoch]),
      [
        [1, 0],
        [2, 0],
        [3, 1],
        [4, 1],
      ],
    );
    for (const record of log) {
      const keys = ['step', 'epoch', 'lr', ...TERMS, 'images_per_s', 'wait_share'];
      assert.deepEqual(Object.keys(record).sort(), keys.sort());
      const local = record['minv_l']! + record['mvar_l']! + record['mcov_l']!;
      const global = record['inv_l']! + record['var_l']! + record['cov_l']!;
      assert.ok(Math.abs(record['l']! - (0.75 * global + 0.25 * local)) < 1e-4 * record['l']!);
    }
    // warm-up of half an epoch: 1 step from 0, then the peak of 0.05 * 4 / 256
    assert.equal(log[0]!.lr, 0);
    assert.ok(Math.abs(log[1]!.lr - (0.05 * 4) / 256) < 1e-12);

    const { step, seed, tensors } = await loadCheckpoint(run);
    assert.deepEqual([step, seed], [4, 3]);
    const weights = [...tensors.keys()].filter((name) => !name.includes('/'));
    assert.equal(tensors.size, 3 * weights.length);
    for (const name of weights) {
      for (const slot of ['exp_avg', 'exp_avg_sq']) {
        assert.deepEqual(tensors.get(`${slot}/${name}`)!.shape, tensors.get(name)!.shape, name);
      }
    }
    assert.ok(weights.includes('backbone.stages.1.0.pwconv1.weight') && weights.includes('maps_projector.3.weight'));
  });

  it('stopped before the first step keeps the initial weights, which learning rate 0 does not change', async () => {
    const run = newRun();
    const stopped = new AbortController();
    stopped.abort();
    const result = await trainTiny(run, tinyConfig(photographs), { signal: stopped.signal });
    assert.deepEqual([result.steps, result.totalSteps], [0, 4]);
    const initial = await loadCheckpoint(run);
    await trainUntil(run, await readRunConfig(run), 1, true);
    const first = await loadCheckpoint(run);
    assert.deepEqual([initial.step, first.step], [0, 1]);
    for (const [name, value] of initial.tensors) {
      if (!name.includes('/')) assert.deepEqual(first.tensors.get(name), value, name);
    }
    assert.notDeepEqual(
      first.tensors.get('exp_avg/backbone.norm.bias'),
      initial.tensors.get('exp_avg/backbone.norm.bias'),
    );
  });
});

describe('a run of 0 epochs', () => {
  it('consists of its initial weights, and can be continued', async () => {
    const run = newRun();
    const result = await trainTiny(run, tinyConfig(photographs, { epochs: 0, warmupEpochs: 0 }));
    assert.deepEqual([result.steps, result.totalSteps], [0, 0]);
    const initial = await loadCheckpoint(run);
    assert.equal(initial.step, 0);
    assert.deepEqual(await steps(run), []);
    const stopped = new AbortController();
    stopped.abort();
    const other = newRun();
    await trainTiny(other, tinyConfig(photographs), { signal: stopped.signal });
    assert.deepEqual(initial.tensors, (await loadCheckpoint(other)).tensors);
    const { steps: taken } = await trainTiny(run, tinyConfig(photographs), { resume: true });
    assert.equal(taken, 4);
    assert.deepEqual((await loadCheckpoint(run)).tensors, (await loadCheckpoint(plain)).tensors);
  });
});

describe('a stopped and resumed run', () => {
  // one broken photograph, so that its report is compared too
  let source: string;
  let complete: string;
  let unbroken: Awaited<ReturnType<typeof outcome>>;
  const config = () => tinyConfig(source, { epochs: 3, checkpoints: { every: 2, keep: 3 } });
  before(async () => {
    source = join(root, 'with-broken');
    await writePhotographs(source, names);
    await writeFile(join(source, 'b/broken.jpg'), 'not a picture');
    complete = newRun();
    await trainTiny(complete, config());
    assert.deepEqual(await listCheckpoints(complete), [2, 4, 6]);
    unbroken = await outcome(complete);
    assert.equal((await steps(complete)).length, 6);
    assert.ok((await skips(complete)).every(({ step }) => step <= 3) && (await skips(complete)).length === 1);
  });

  it('has the same numbers when one run of the graph has several steps, with checkpoints in between', async () => {
    const run = newRun();
    await trainTiny(run, { ...config(), stepsPerRun: 4 });
    assert.deepEqual(await outcome(run), unbroken);
    assert.deepEqual(await listCheckpoints(run), [2, 4, 6]);
  });

  it('ends with exactly the same weights, state and log', async () => {
    const run = newRun();
    const first = await trainUntil(run, config(), 3);
    assert.equal(first.steps, 3);
    const second = await trainTiny(run, await readRunConfig(run), { resume: true });
    assert.equal(second.steps, 6);
    assert.deepEqual(await outcome(run), unbroken);
  });

  it('in micro-batches has the log of complete batches, and ends as an uninterrupted run', async () => {
    const [whole, stopped] = [newRun(), newRun()];
    const inParts = { ...config(), microBatch: 2 };
    await trainTiny(whole, inParts);
    await trainUntil(stopped, inParts, 3);
    await trainTiny(stopped, await readRunConfig(stopped), { resume: true });
    assert.deepEqual(await outcome(stopped), await outcome(whole));
    const [parts, fused] = [await steps(whole), await steps(complete)];
    for (const term of ['l', 'inv_l', 'mcov_l', 'stdr', 'grad_norm']) {
      const [actual, expected] = [parts[0]![term]!, fused[0]![term]!];
      assert.ok(Math.abs(actual - expected) <= 1e-5 * Math.abs(expected), `${term}: ${actual}, ${expected}`);
    }
  });

  it('repeats the steps after its newest checkpoint if the process died', async () => {
    const run = newRun();
    const { checkpoint } = await trainUntil(run, config(), 5);
    await rm(checkpoint);
    await trainTiny(run, await readRunConfig(run), { resume: true });
    assert.deepEqual(await outcome(run), unbroken);
  });

  it('is the same with any number of loader threads and any cache', async () => {
    const run = newRun();
    const data = { source, workers: 3, cacheBytes: 0 };
    await trainTiny(run, tinyConfig(source, { epochs: 3, data, checkpoints: { every: 2, keep: 3 } }));
    assert.deepEqual(await outcome(run), unbroken);
  });

  it('is not changed if it is complete', async () => {
    const result = await trainTiny(complete, config(), { resume: true });
    assert.equal(result.steps, 6);
    assert.deepEqual(await outcome(complete), unbroken);
  });
});

describe('a broken photograph', () => {
  it('is skipped, counted, and reported once in the log and to the user', async () => {
    const source = join(root, 'one-broken');
    const files = await writePhotographs(source, names.slice(0, 7));
    await writeFile(join(source, 'a/cut.jpg'), files.get('a/0.jpg')!.subarray(0, 100));
    const run = newRun();
    const notes: string[] = [];
    const progress = { note: (text: string) => notes.push(text) };
    const result = await trainTiny(run, tinyConfig(source, { epochs: 3 }), { progress });
    assert.equal(result.steps, 6); // 8 images: the broken one still counts in every epoch
    const [skip, ...others] = await skips(run);
    assert.deepEqual(others, []);
    assert.equal(skip!.skipped, 'a/cut.jpg');
    assert.ok(skip!.reason.length > 0);
    assert.deepEqual(notes, [`skipped a/cut.jpg: ${skip!.reason} (1 so far)`]);
  });
});

describe('a loss that is not finite', () => {
  const absurd = (keys: object) => tinyConfig(photographs, { optimizer: { baseLr: 1e30 }, warmupEpochs: 0.5, ...keys });

  it('stops the run, naming step and term, and keeps the last good checkpoint', async () => {
    const run = newRun();
    // step 1 has learning rate 0; step 2 moves the weights so far that the loss of step 3 is not finite
    await assert.rejects(trainTiny(run, absurd({ checkpoints: { every: 1 } })), (error: Error) => {
      assert.equal(error.name, 'NonFiniteLossError');
      assert.match(
        error.message,
        /^step 3: (inv_l|var_l|cov_l|minv_l|mvar_l|mcov_l) is (NaN|-?Infinity); training stopped/,
      );
      assert.match(
        error.message,
        /the checkpoint of step 1 is good\. Go on with --resume and --set optimizer\.baseLr \(lower\) or warmupEpochs \(longer\)\.$/,
      );
      return true;
    });
    assert.deepEqual(await listCheckpoints(run), [1]);
    const { tensors } = await loadCheckpoint(run);
    const largest = [...tensors.values()].map(({ data }) => Math.max(...Array.from(data as Float32Array, Math.abs)));
    assert.ok(Math.max(...largest) < 100);
    assert.equal((await steps(run)).length, 2);
    // a resumed run ends in the same way and keeps the same checkpoint
    await assert.rejects(
      trainTiny(run, absurd({ checkpoints: { every: 1 } }), { resume: true }),
      /^NonFiniteLossError: step 3: .* soon after it went on from the checkpoint of step 1\. .*: there is none before it\.$/,
    );
    assert.deepEqual(await listCheckpoints(run), [1]);
  });

  it('is reported as such if no checkpoint was written before', async () => {
    const run = newRun();
    await assert.rejects(trainTiny(run, absurd({})), /step 3: .* there is no checkpoint from before/);
    assert.deepEqual(await listCheckpoints(run), []);
  });

  it('weights that overflow in the last step are not saved', async () => {
    const run = newRun();
    const config = tinyConfig(photographs, { optimizer: { baseLr: 1e300 }, epochs: 1, warmupEpochs: 0.5 });
    await assert.rejects(
      trainTiny(run, config),
      /^NonFiniteLossError: step 2: after the update \S+ holds (NaN|-?Infinity); .*no checkpoint/,
    );
    assert.deepEqual(await listCheckpoints(run), []);
  });
});

describe('sources', () => {
  it('a .tar trains as the folder does', async () => {
    const run = newRun();
    await trainTiny(run, tinyConfig(join(root, 'photographs.tar')));
    assert.deepEqual(await outcome(run), await outcome(plain));
  });

  it('class folders train an online classifier that does not touch the network', async () => {
    const run = newRun();
    await trainTiny(run, tinyConfig(photographs, { data: { source: photographs, labels: 'folders' } }));
    const log = await steps(run);
    for (const record of log) {
      assert.ok(record['cls_l']! > 0);
      assert.ok([0, 0.25, 0.5, 0.75, 1].includes(record['top1']!));
      assert.equal(record['top5'], 1); // of two classes
    }
    const [trained, unlabelled] = [await loadCheckpoint(run), await loadCheckpoint(plain)];
    assert.deepEqual(trained.tensors.get('classifier.weight')!.shape, [2, 16]);
    assert.ok(trained.tensors.get('exp_avg/classifier.weight')!.data.some((value) => Number(value) !== 0));
    for (const [name, { data: expected }] of unlabelled.tensors) {
      const found = trained.tensors.get(name)!.data as Float32Array;
      const difference = Math.max(...found.map((value, i) => Math.abs(value - Number(expected[i]))));
      assert.ok(difference <= 1e-6, `${name} differs by ${difference}`);
    }
  });

  it('small views are paired with both large views', async () => {
    const small = { count: 1, size: 32, scale: [0.1, 0.4] };
    const keys = { crops: { size: 64, scale: [0.3, 1], small }, loss: { alpha: 0.75, numMatches: [3, 1] }, epochs: 1 };
    const run = newRun();
    await trainTiny(run, tinyConfig(photographs, keys));
    const [record] = await runRecords(run);
    assert.ok(Number.isFinite((record as StepRecord)['minv_l']));
    // Without the small view, the loss is different, so the small view has an effect.
    const without = newRun();
    await trainTiny(without, tinyConfig(photographs, { ...keys, crops: { size: 64, scale: [0.3, 1] } }));
    const [other] = await runRecords(without);
    assert.notEqual((record as StepRecord)['minv_l'], (other as StepRecord)['minv_l']);
    assert.equal((record as StepRecord)['stdr'], (other as StepRecord)['stdr']);
  });

  it('layer scale starts at its configured value and is learned', async () => {
    const run = newRun();
    const model = { ...tinyKeys('').model, layerScale: 0.1 };
    await trainTiny(run, tinyConfig(photographs, { model, checkpoints: { every: 1, keep: 9 } }));
    const at = async (step: number) =>
      (await readSafetensors(join(run, 'checkpoints', `step-0000000${step}.safetensors`))).tensors.get(
        'backbone.stages.1.0.gamma',
      )!;
    // the first step has learning rate 0
    assert.deepEqual([...new Set(numbers(await at(1)))], [Math.fround(0.1)]);
    assert.ok(numbers(await at(4)).every((value) => value !== Math.fround(0.1) && Math.abs(value - 0.1) < 0.05));
  });

  it('with alpha 1 or 0 has no local projector or no expander', async () => {
    for (const [alpha, absent, logged] of [
      [1, 'maps_projector.', ['inv_l', 'var_l', 'cov_l', 'l', 'stdr', 'corr', 'stde', 'core', 'grad_norm']],
      [0, 'projector.', ['minv_l', 'mvar_l', 'mcov_l', 'l', 'stdr', 'corr', 'stdm', 'corm', 'grad_norm']],
    ] as const) {
      const run = newRun();
      await trainTiny(run, tinyConfig(photographs, { loss: { ...tinyKeys('').loss, alpha }, epochs: 1 }));
      const { tensors } = await loadCheckpoint(run);
      assert.deepEqual(
        [...tensors.keys()].filter((name) => name.startsWith(absent)),
        [],
      );
      const [record] = await steps(run);
      assert.deepEqual(Object.keys(record!).slice(3, -2), logged);
    }
  });
});

describe('averaged weights', () => {
  const decay = 0.6;
  const keys = { optimizer: { baseLr: 0.05, emaDecay: decay, clipNorm: 5 }, checkpoints: { every: 1, keep: 9 } };

  let run: string;
  before(async () => {
    run = newRun();
    await trainTiny(run, tinyConfig(photographs, keys));
  });

  it('start at the initial weights and follow them, without changing the training', async () => {
    const without = newRun();
    await trainTiny(without, tinyConfig(photographs, { ...keys, optimizer: { baseLr: 0.05, clipNorm: 5 } }));
    const at = async (folder: string, step: number) =>
      (await readSafetensors(join(folder, 'checkpoints', `step-0000000${step}.safetensors`))).tensors;
    // The first step has learning rate 0: after it the weights are still the initial ones.
    const first = await at(run, 1);
    const names = [...first.keys()].filter((name) => !name.includes('/'));
    let expected = new Map(names.map((name) => [name, numbers(first.get(name)!)]));
    for (let step = 1; step <= 4; step++) {
      const [tensors, plain] = [await at(run, step), await at(without, step)];
      expected = new Map(
        names.map((name) => {
          const now = numbers(tensors.get(name)!);
          return [name, expected.get(name)!.map((value, i) => decay * value + (1 - decay) * now[i]!)];
        }),
      );
      for (const name of names) {
        assert.deepEqual(tensors.get(name), plain.get(name), name);
        const found = numbers(tensors.get(`ema/${name}`)!);
        const difference = Math.max(...found.map((value, i) => Math.abs(value - expected.get(name)![i]!)));
        assert.ok(difference < 1e-6, `step ${step}, ${name}: ${difference}`);
      }
      assert.ok(![...plain.keys()].some((name) => name.startsWith('ema/')));
    }
  });

  it('continue when a run resumes', async () => {
    const stopped = newRun();
    await trainUntil(stopped, tinyConfig(photographs, keys), 2);
    await trainTiny(stopped, await readRunConfig(stopped), { resume: true });
    assert.deepEqual(await outcome(stopped), await outcome(run));
  });
});

it('sgd trains, and clipping below every norm changes the result', async () => {
  const optimizer = { kind: 'sgd', baseLr: 0.05 };
  const ends = await Promise.all(
    [optimizer, { ...optimizer, clipNorm: 1e-3 }].map(async (keys) => {
      const run = newRun();
      await trainTiny(run, tinyConfig(photographs, { optimizer: keys }));
      assert.ok((await steps(run)).every((record) => record['grad_norm']! > 1e-3));
      return (await loadCheckpoint(run)).tensors;
    }),
  );
  const name = 'backbone.stages.1.0.pwconv2.weight';
  assert.ok(ends[0]!.has(`momentum/${name}`));
  const change = ends.map((tensors) => Math.hypot(...numbers(tensors.get(`momentum/${name}`)!)));
  assert.ok(change[0]! > 100 * change[1]!, `${change[0]} and ${change[1]}`);
});

describe('a resumed run', () => {
  it('that was stopped before its first checkpoint starts again and gets the same numbers', async () => {
    const run = await copyOf(plain);
    await rm(join(run, 'checkpoints'), { recursive: true });
    await trainTiny(run, await readRunConfig(run), { resume: true });
    assert.deepEqual(await outcome(run), await outcome(plain));
  });

  it('can change how it continues, reports the changes and their effect on the rate, and keeps the old configuration', async () => {
    const run = newRun();
    await trainTiny(run, tinyConfig(photographs, { epochs: 1 }));
    const before = await readFile(join(run, 'config.yaml'), 'utf8');
    const config = await readRunConfig(run, ['epochs=2', 'optimizer.baseLr=0.01']);
    const notes: string[] = [];
    const progress = { note: (text: string) => notes.push(text) };
    const { steps: reached } = await trainTiny(run, config, { resume: true, progress });
    assert.equal(reached, 4);
    // 4 steps with 1 of warm-up instead of 2: step 3 is at a third of the cosine, and would otherwise be at its end.
    const rate = ((0.01 * 4) / 256) * (0.75 + 0.001 * 0.25);
    assert.deepEqual(notes, [
      'the run goes on with other keys than the checkpoint of step 2: optimizer.baseLr 0.01 (was 0.05), epochs 2 (was 1)',
      `the learning rate of step 3 is therefore ${Number(rate.toPrecision(3))}, and would have been 7.81e-7`,
    ]);
    assert.equal(await readFile(join(run, 'config.until-step-2.yaml'), 'utf8'), before);
    assert.equal((await readRunConfig(run)).optimizer.baseLr, 0.01);
    for (const setting of [
      'model.dropPath=0',
      'optimizer.kind=lars',
      'optimizer={kind: lars}',
      'optimizer.emaDecay=0.9',
      'seed=9',
      'data.source=elsewhere',
      'epochsx=3',
    ]) {
      await assert.rejects(readRunConfig(run, [setting]), { name: 'ConfigError', message: /start another run/ });
    }
  });

  it('keeps the configuration file if no value changed, with any order and comments', async () => {
    const run = await copyOf(plain);
    const { data, ...rest } = parse(await readFile(join(run, 'config.yaml'), 'utf8'));
    const text = `# mine\n${stringify({ ...rest, data })}`;
    await writeFile(join(run, 'config.yaml'), text);
    const notes: string[] = [];
    await trainTiny(run, await readRunConfig(run), { resume: true, progress: { note: (note) => notes.push(note) } });
    assert.equal(await readFile(join(run, 'config.yaml'), 'utf8'), text);
    assert.deepEqual(notes, []);
    assert.deepEqual(
      (await readdir(run)).filter((name) => name.startsWith('config')),
      ['config.yaml'],
    );
  });

  it('rejects a config.yaml that was edited to describe another run, and names each key', async () => {
    const edits: Record<string, [string, unknown, string]> = {
      batchSize: ['batchSize', 8, 'batchSize: 4 then, 8 now'],
      alpha: ['loss.alpha', 0.5, 'loss.alpha: 0.75 then, 0.5 now'],
      criterion: ['loss.criterion', 'simclr', 'loss.criterion: "vicreg" then, "simclr" now'],
      crops: ['crops.scale', [0.2, 1], 'crops.scale: [0.3,1] then, [0.2,1] now'],
      'drop path': ['model.dropPath', 0, 'model.dropPath: 0.2 then, 0 now'],
      'micro-batch': ['microBatch', 2, 'microBatch: absent then, 2 now'],
      optimizer: ['optimizer.kind', 'lars', 'optimizer.kind: "adamw" then, "lars" now'],
      labels: ['data.labels', 'folders', 'data.labels: "none" then, "folders" now'],
    };
    for (const [what, [key, value, line]] of Object.entries(edits)) {
      const run = await copyOf(plain);
      const edited = parseDocument(await readFile(join(run, 'config.yaml'), 'utf8'));
      edited.setIn(key.split('.'), value);
      await writeFile(join(run, 'config.yaml'), edited.toString());
      const before = await readFile(join(run, 'log.jsonl'), 'utf8');
      await assert.rejects(
        readRunConfig(run).then((config) => trainTiny(run, config, { resume: true })),
        (error: Error) => {
          assert.equal(error.name, 'CheckpointError', what);
          assert.match(error.message, /^config\.yaml is not what the checkpoint of step 4 was trained with:\n/);
          assert.ok(error.message.includes(`\n  ${line}\n`), error.message);
          return true;
        },
      );
      assert.equal(await readFile(join(run, 'log.jsonl'), 'utf8'), before);
    }
  });

  it('accepts a config.yaml with edited keys that may change, and keeps the previous one', async () => {
    const run = await copyOf(plain);
    const before = await readFile(join(run, 'config.yaml'), 'utf8');
    await writeFile(join(run, 'config.yaml'), before.replace('epochs: 2\n', 'epochs: 3\n'));
    const notes: string[] = [];
    const progress = { note: (note: string) => notes.push(note) };
    const { steps: reached } = await trainTiny(run, await readRunConfig(run), { resume: true, progress });
    assert.equal(reached, 6);
    assert.match(notes[0]!, /other keys than the checkpoint of step 4: epochs 3 \(was 2\)$/);
    assert.match(notes[1]!, /^the learning rate of step 5 is therefore 0\.000\d+, and would have been 7\.81e-7$/);
    assert.equal(await readFile(join(run, 'config.until-step-4.yaml'), 'utf8'), before);
  });

  it('notes that another number of ranks changes the statistics of batch normalisation, where it does', async () => {
    const model = { architecture: 'resnet_basic', depths: [1, 1], widths: [8, 16], expander: [24, 24], dropPath: 0 };
    const given = { batchSize: 8, model, loss: { alpha: 1 } };
    const notesOf = (keys: object, ranks: number, then?: number) => {
      const config = tinyConfig(photographs, { ...given, ...keys });
      const checkpoint = { step: 4, seed: 3, data: '', config: JSON.parse(JSON.stringify(config)), tensors: new Map() };
      return resumeNotes({ ...checkpoint, ...(then !== undefined && { ranks: then }) }, config, 2, ranks);
    };
    assert.deepEqual(notesOf({ microBatch: 2 }, 2, 1), [
      'batch normalisation takes its statistics over 4 photographs (2 ranks), and took them over 2 until step 4 (one process): the network computes something else from here on; to keep it, go on with one process',
    ]);
    assert.match(
      notesOf({ syncBatchNorm: false }, 1, 4).join(),
      /over 8 photographs \(one process\).* 2 until step 4 \(4 ranks\)/,
    );
    // The whole batch on any ranks, the same ranks, an older checkpoint, and a network without batch normalisation.
    assert.deepEqual(notesOf({}, 4, 2), []);
    assert.deepEqual(notesOf({ microBatch: 2 }, 2, 2), []);
    assert.deepEqual(notesOf({ microBatch: 2 }, 2), []);
    assert.deepEqual(notesOf({ microBatch: 2, model: tinyKeys('').model }, 2, 1), []);
  });

  it('records the ranks of its steps, and the threads that the caller gives', async () => {
    const run = newRun();
    const { threads: _, ...config } = tinyConfig(photographs, { epochs: 0, warmupEpochs: 0 });
    await Promise.all(
      createInMemoryGroup(2).map((collectives) =>
        train(config, {
          ...{ run, device: 'cpu', resume: false, curves: false, collectives, threads: 3 },
          createProgress: () => ({ step: () => undefined, note: () => undefined, stop: () => undefined }),
        }),
      ),
    );
    const { ranks, threads } = JSON.parse(await readFile(join(run, 'environment.json'), 'utf8'));
    assert.deepEqual([ranks, threads, (await loadCheckpoint(run)).ranks], [2, 3, 2]);
  });

  it('continues with a note from a checkpoint of an older version, which lacks the configuration', async () => {
    const run = await copyOf(plain);
    const file = join(run, 'checkpoints/step-00000004.safetensors');
    const { metadata, tensors } = await readSafetensors(file);
    const { config: _, ...older } = metadata;
    await writeSafetensors(file, tensors, older);
    const notes: string[] = [];
    const progress = { note: (note: string) => notes.push(note) };
    await trainTiny(run, await readRunConfig(run), { resume: true, progress });
    assert.match(notes.join(), /^the checkpoint of step 4 was written by an older version .* taken as it stands$/);
  });

  it('stops before its first step if its newest checkpoint has NaN, and can continue from the previous one', async () => {
    const run = newRun();
    const config = tinyConfig(photographs, { checkpoints: { every: 2, keep: 3 } });
    await trainTiny(run, config);
    const file = join(run, 'checkpoints/step-00000004.safetensors');
    const { metadata, tensors } = await readSafetensors(file);
    const last = [...tensors.keys()].filter((name) => name.startsWith('exp_avg_sq/')).at(-1)!;
    (tensors.get(last)!.data as Float32Array)[0] = Number.NaN;
    await writeSafetensors(file, tensors, metadata);
    const log = await readFile(join(run, 'log.jsonl'), 'utf8');
    await assert.rejects(trainTiny(run, config, { resume: true }), (error: Error) => {
      assert.ok(error.message.includes(`${last} holds NaN`), error.message);
      assert.match(error.message, /step 2 is whole: choose it with --checkpoint 2$/);
      return true;
    });
    assert.equal(await readFile(join(run, 'log.jsonl'), 'utf8'), log);
    await trainTiny(run, config, { resume: true, checkpoint: 2 });
    assert.deepEqual((await loadCheckpoint(run)).step, 4);
  });

  it('does not call a checkpoint of wrong but finite numbers good if it stops soon after it', async () => {
    const run = newRun();
    const keys = { epochs: 4, checkpoints: { every: 2, keep: 9 } };
    await trainUntil(run, tinyConfig(photographs, keys), 4);
    const file = join(run, 'checkpoints/step-00000004.safetensors');
    const { metadata, tensors } = await readSafetensors(file);
    // A mean of squares below 0, whose root is NaN from the update of step 5 on.
    for (const [name, { data }] of tensors) if (name.startsWith('exp_avg_sq/')) (data as Float32Array).fill(-1);
    await writeSafetensors(file, tensors, metadata);
    await assert.rejects(trainTiny(run, tinyConfig(photographs, keys), { resume: true }), {
      name: 'NonFiniteLossError',
      message:
        /^step 6: .* soon after it went on from the checkpoint of step 4\. .* the checkpoint itself may be damaged: go back with --checkpoint 2\.$/,
    });
  });
});

describe('a run that goes back', () => {
  const config = () =>
    tinyConfig(photographs, { epochs: 3, checkpoints: { every: 2, keep: 3, best: { mode: 'max' } } });
  let complete: string;
  before(async () => {
    complete = newRun();
    await trainTiny(complete, config());
  });

  it('to a step ends like an uninterrupted run, and keeps the abandoned part', async () => {
    const run = await copyOf(complete);
    await trainTiny(run, config(), { resume: true, checkpoint: 2 });
    assert.deepEqual(await outcome(run), await outcome(complete));
    const left = (await readdir(join(run, 'checkpoints'))).filter((name) => name.endsWith('.superseded'));
    assert.deepEqual(left, ['step-00000004.safetensors.superseded', 'step-00000006.safetensors.superseded']);
    assert.equal((await readFile(join(run, 'log.until-step-6.jsonl'), 'utf8')).trim().split('\n').length, 6);
  });

  it('to the same step twice keeps both abandoned parts', async () => {
    const run = await copyOf(complete);
    const configs: string[] = [];
    const logs: string[] = [];
    for (const baseLr of [0.02, 0.01]) {
      configs.push(await readFile(join(run, 'config.yaml'), 'utf8'));
      logs.push(await readFile(join(run, 'log.jsonl'), 'utf8'));
      const { optimizer, ...rest } = config();
      await trainTiny(run, { ...rest, optimizer: { ...optimizer, baseLr } }, { resume: true, checkpoint: 2 });
    }
    for (const [i, number] of ['', '.2'].entries()) {
      assert.equal(await readFile(join(run, `log.until-step-6${number}.jsonl`), 'utf8'), logs[i]);
      assert.equal(await readFile(join(run, `config.until-step-6${number}.yaml`), 'utf8'), configs[i]);
    }
    const left = (await readdir(join(run, 'checkpoints'))).filter((name) => name.includes('superseded'));
    assert.deepEqual(left.sort(), [
      'step-00000004.safetensors.2.superseded',
      'step-00000004.safetensors.superseded',
      'step-00000006.safetensors.2.superseded',
      'step-00000006.safetensors.superseded',
    ]);
  });

  it('to the best checkpoint continues from it', async () => {
    const run = await copyOf(complete);
    const { best } = await readCheckpointIndex(run);
    const log = await steps(run);
    const means = [0, 2, 4].map((i) => (log[i]!['l']! + log[i + 1]!['l']!) / 2);
    assert.equal(best!.value, Math.max(...means));
    assert.equal(best!.step, 2 * (means.indexOf(best!.value) + 1));
    const seen: number[] = [];
    const progress = { step: ({ step }: StepRecord) => seen.push(step) };
    await trainTiny(run, config(), { resume: true, checkpoint: 'best', progress });
    assert.equal(seen[0] ?? 7, best!.step + 1);
  });

  it('to a step without a checkpoint changes nothing', async () => {
    const before = await outcome(plain);
    await assert.rejects(trainTiny(plain, tinyConfig(photographs), { resume: true, checkpoint: 3 }), {
      name: 'CheckpointError',
      message: /has no checkpoint of step 3; it has 4$/,
    });
    assert.deepEqual(await outcome(plain), before);
  });
});

describe('monitoring of a run', () => {
  it('draws the curves at the checkpoints', async () => {
    const run = newRun();
    await trainTiny(run, tinyConfig(photographs), { curves: true });
    const svg = await readFile(join(run, 'curves.svg'), 'utf8');
    for (const word of ['tiny', 'total loss', 'inv_l', 'mcov_l', 'stde']) assert.ok(svg.includes(`>${word}<`), word);
    const { format, width, height } = await sharp(join(run, 'curves.png')).metadata();
    assert.equal(format, 'png');
    assert.ok(width > 800 && height > 600);
  });

  /** Notes and alarms of a run with a threshold that its vectors cannot reach. */
  async function alarmed(loss: object) {
    const run = newRun();
    const notes: string[] = [];
    const alarm = { collapse: { threshold: 0.999, steps: 2 } };
    const progress = { note: (text: string) => notes.push(text) };
    await trainTiny(run, tinyConfig(photographs, { alarm, loss: { ...tinyKeys('').loss, ...loss } }), { progress });
    const alarms = (await runRecords(run)).filter((record) => 'alarm' in record) as AlarmRecord[];
    assert.deepEqual(
      notes,
      alarms.map(({ message }) => `\n*** ${message}\n`),
    );
    return alarms.map(({ step, alarm: what, message }) => [
      step,
      what,
      /COLLAPSE: (\w+) is/.exec(message)?.[1],
      message,
    ]);
  }

  it('warns of collapsed vectors once for each kind that the loss trains, in the log and to the user', async () => {
    const both = await alarmed({});
    assert.deepEqual(
      both.map((one) => one.slice(0, 3)),
      [
        [2, 'collapse', 'stde'],
        [2, 'collapse', 'stdm'],
      ],
    );
    assert.match(
      String(both[0]![3]),
      /larger loss\.variance \(now 25\), a lower optimizer\.baseLr \(now 0\.05\).*batchSize \(now 4\)/,
    );
    assert.deepEqual(
      (await alarmed({ alpha: 1 })).map((one) => one[2]),
      ['stde'],
    );
    const local = await alarmed({ alpha: 0 });
    assert.deepEqual(
      local.map((one) => one[2]),
      ['stdm'],
    );
  });

  it('prints a note if the metric of the best checkpoint is not logged, and resumes such a run of an older version', async () => {
    const run = newRun();
    const notes: string[] = [];
    const best = { metric: 'knn_top1', mode: 'max' };
    const progress = { note: (text: string) => notes.push(text) };
    const old = (keys: object) => parseRecordedConfig({ ...tinyKeys(photographs), ...keys }, 'x.yaml');
    await trainTiny(run, old({ checkpoints: { every: 2, best } }), { progress });
    assert.equal(notes.length, 1);
    assert.match(notes[0]!, /^no best checkpoint yet: nothing logs "knn_top1" so far, only .*inv_l/);
    assert.deepEqual(await readCheckpointIndex(run), { latest: 4 });
    await trainTiny(run, await readRunConfig(run, ['epochs=3']), { resume: true });
    assert.deepEqual(await readCheckpointIndex(run), { latest: 6 });
    await assert.rejects(readRunConfig(run, ['checkpoints.best.metric=lr']), /"lr" says nothing about the quality/);
    // Also where the run ends before its first scheduled checkpoint.
    const shorter = newRun();
    await trainTiny(shorter, old({ epochs: 1, checkpoints: { best } }), { progress });
    assert.deepEqual(notes.slice(1), [notes[0]]);
  });
});

describe('train rejects', () => {
  it('a folder that another process trains into, whether it starts or resumes', async () => {
    const run = newRun();
    await mkdir(run);
    const lock = await lockRun(run);
    const busy = { name: 'RunLockError', message: /^process \d+ on .* is training into .*; wait for it/ };
    await assert.rejects(trainTiny(run, tinyConfig(photographs)), busy);
    assert.deepEqual(await readdir(run), ['run.lock']);
    await assert.rejects(trainTiny(run, tinyConfig(photographs), { resume: true }), busy);
    await lock.release();
    await trainTiny(run, tinyConfig(photographs, { epochs: 1 }));
    assert.ok(!(await readdir(run)).includes('run.lock'));
  });

  it('a folder that contains a run, and does not change it', async () => {
    const before = await outcome(plain);
    await assert.rejects(trainTiny(plain, tinyConfig(photographs)), {
      name: 'ConfigError',
      message: `${plain} holds a run already; continue it with --resume, or choose another --out`,
    });
    assert.deepEqual(await outcome(plain), before);
  });

  it('to resume for fewer epochs than the run has trained, and leaves it as it is', async () => {
    const run = await copyOf(plain);
    const config = await readRunConfig(run, ['epochs=1']);
    await assert.rejects(trainTiny(run, config, { resume: true }), {
      name: 'ConfigError',
      message: /^epochs: 1 ends at step 2, and the run has taken 4 steps; set more epochs, or .* --checkpoint$/,
    });
    assert.deepEqual(await outcome(run), await outcome(plain));
    assert.equal((await readRunConfig(run)).epochs, 2);
  });

  it('to resume a folder without a run', async () => {
    await assert.rejects(readRunConfig(newRun()), { name: 'ConfigError', message: /is not a run folder/ });
  });

  it('to continue with other photographs or another seed', async () => {
    const run = await copyOf(plain);
    const fewer = join(root, 'fewer');
    await cp(photographs, fewer, { recursive: true });
    await rm(join(fewer, (await readdir(fewer, { recursive: true })).find((name) => /\.(jpg|png)$/.test(name))!));
    await assert.rejects(trainTiny(run, tinyConfig(fewer), { resume: true }), {
      name: 'CheckpointError',
      message: /fewer is not what the run saw \(.*9 images.* then, 8 images.* now\)/,
    });
    await assert.rejects(trainTiny(run, tinyConfig(photographs, { seed: 4 }), { resume: true }), {
      name: 'CheckpointError',
      message: /the checkpoint has seed 3, the run's config\.yaml 4/,
    });
  });

  it('a checkpoint of another network, and lists all differences', async () => {
    const model = { ...tinyKeys('').model, expander: [24, 24, 24], localProjector: [12, 16] };
    const older = await copyOf(plain);
    const file = join(older, 'checkpoints/step-00000004.safetensors');
    const { metadata, tensors } = await readSafetensors(file);
    await writeSafetensors(file, tensors, {
      step: metadata['step']!,
      seed: metadata['seed']!,
      data: metadata['data']!,
    });
    await assert.rejects(trainTiny(older, tinyConfig(photographs, { model }), { resume: true }), (error: Error) => {
      assert.equal(error.name, 'CheckpointError');
      for (const line of [
        'parameter "projector.6.weight" [24, 24] is missing',
        'parameter "exp_avg/projector.6.weight" [24, 24] is missing',
        'parameter "maps_projector.0.weight" must be [12, 16], found [16, 16]',
        'parameter "maps_projector.3.weight" must be [16, 12], found [16, 16]',
      ]) {
        assert.ok(error.message.includes(`\n  ${line}`), `"${line}" is not in ${error.message}`);
      }
      return true;
    });
  });

  it('a source without photographs, before it makes the run folder', async () => {
    const [empty, run] = [join(root, 'empty'), newRun()];
    await mkdir(empty);
    await assert.rejects(trainTiny(run, tinyConfig(empty)), { name: 'DataError', message: /empty contains no images/ });
    await assert.rejects(trainTiny(run, tinyConfig(join(root, 'nowhere'))), {
      name: 'DataError',
      message: /nowhere cannot be opened/,
    });
    await assert.rejects(readdir(run), { code: 'ENOENT' });
  });

  it('photographs that are broken on one rank alone, before rank 0 makes the run folder', async () => {
    const run = newRun();
    const broken = join(root, 'broken-on-a-rank');
    for (const name of names) {
      await mkdir(dirname(join(broken, name)), { recursive: true });
      await writeFile(join(broken, name), 'no photograph');
    }
    const [leader, other] = createInMemoryGroup(2) as [Collectives, Collectives];
    const trained = (collectives: Collectives, source: string) =>
      train(tinyConfig(source), {
        ...{ run, device: 'cpu', resume: false, collectives },
        createProgress: () => ({ step: () => undefined, note: () => undefined, stop: () => undefined }),
      });
    const outcomes = await Promise.allSettled([
      trained(leader, photographs),
      trained(other, broken).catch((error: unknown) => {
        // As the command does.
        other.abort(1);
        throw error;
      }),
    ]);
    assert.deepEqual(
      outcomes.map((each) => each.status === 'rejected' && (each.reason as Error).name),
      ['Error', 'DataError'],
    );
    await assert.rejects(readdir(run), { code: 'ENOENT' });
  });

  it('a batch larger than the source, before it makes the run folder', async () => {
    const run = newRun();
    await assert.rejects(trainTiny(run, tinyConfig(photographs, { batchSize: 10 })), {
      name: 'DataError',
      message: /batchSize is 10, but the source has only 9 images/,
    });
    await assert.rejects(readdir(run), { code: 'ENOENT' });
  });
});

describe('a source in which no photograph can be decoded', () => {
  it('is rejected before any file of the run is written', async () => {
    const broken = join(root, 'all-broken');
    await mkdir(broken);
    for (let i = 0; i < 6; i++) await writeFile(join(broken, `${i}.jpg`), 'not a picture');
    const run = newRun();
    await assert.rejects(trainTiny(run, tinyConfig(broken)), { name: 'DataError', code: 'undecodable' });
    await assert.rejects(readdir(run), { code: 'ENOENT' });
  });
});
