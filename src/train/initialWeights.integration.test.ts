import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tinyConfig, tinyKeys, trainTiny, trainUntil, writePhotographs } from '../../test/support/tinyRun.js';
import { exportModel } from '../models/exportModel.js';
import type { ExportOptions } from '../models/exportSource.js';
import { fileSha256 } from '../models/listedFile.js';
import { initialise } from '../nn/parameters.js';
import { float16ToFloat32, float32ToFloat16 } from '../tensor/float16.js';
import { writeSafetensors } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { checkpointPath, listCheckpoints, loadCheckpoint } from './checkpoint.js';
import { backboneOf, type TrainConfig } from './config.js';
import { type InitialWeightsOptions, readInitialWeights } from './initialWeights.js';
import { networkSpecs } from './networkSpecs.js';
import { stepConfigOf } from './plan.js';
import { initialSourceOf } from './runFolder.js';
import type { StepConfig } from './stepConfig.js';

type Tensors = ReadonlyMap<string, Tensor>;

let root: string;
let photographs: string;
/** A finished run of two epochs with seed 3. */
let source: string;
let trained: Tensors;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-init-'));
  photographs = join(root, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
  );
  source = join(root, 'source');
  await trainTiny(source, tinyConfig(photographs, { optimizer: { baseLr: 0.05, emaDecay: 0.5 } }));
  trained = (await loadCheckpoint(source)).tensors;
});
after(() => rm(root, { recursive: true }));

let made = 0;
const place = (name = 'run') => join(root, `${name}-${made++}`);

/** A configuration with another seed, so that random initial weights differ from those of the source. */
const config = (keys: Readonly<Record<string, unknown>> = {}) => tinyConfig(photographs, { seed: 5, ...keys });
const modelKeys = (keys: Readonly<Record<string, unknown>>) => ({ model: { ...tinyKeys('').model, ...keys } });

/** The weights and state of a run before the first step. */
async function stateBefore(of: TrainConfig, init?: InitialWeightsOptions): Promise<Tensors> {
  const run = place();
  const stop = new AbortController();
  stop.abort();
  await trainTiny(run, of, { signal: stop.signal, ...(init && { init }) });
  assert.deepEqual(await listCheckpoints(run), [0]);
  return (await loadCheckpoint(run)).tensors;
}

const starting = (tensors: Tensors, ...prefixes: string[]) =>
  new Map([...tensors].filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix))));
const data = (tensors: Tensors) => Object.fromEntries([...tensors].map(([name, value]) => [name, value.data]));
/** Asserts that tensors exist and have exactly these numbers. */
function assertSame(found: Tensors, expected: Tensors): void {
  assert.ok(expected.size > 0);
  for (const [name, value] of expected) assert.deepEqual(found.get(name)?.data, value.data, name);
}

async function checkpointFile(name: string, tensors: Iterable<readonly [string, Tensor]>): Promise<string> {
  const path = `${place(name)}.safetensors`;
  await writeSafetensors(path, new Map(tensors));
  return path;
}

const NETWORK = ['backbone.', 'projector.', 'maps_projector.'];

async function modelFolder(options: Partial<ExportOptions>): Promise<string> {
  const dir = place('model');
  const { model } = tinyConfig(photographs);
  const form = { backbone: backboneOf(model), expander: model.expander, localProjector: model.localProjector };
  const about = { name: 'm', version: '1', architecture: 'custom', alpha: 0.75, license: 'MIT', training: {} };
  const written = { ...about, ...form, writeExpander: true, weights: starting(trained, ...NETWORK) };
  await exportModel(dir, written, { precision: 'float32', check: false, ...options });
  return dir;
}

describe('a run with given weights', () => {
  it('starts from exactly these weights, from any kind of source, with a new optimizer state', async () => {
    const file = checkpointPath(source, 4);
    const network = starting(trained, ...NETWORK);
    for (const path of [source, file, await modelFolder({}), await modelFolder({ singleFile: true })]) {
      const state = await stateBefore(config(), { path });
      assertSame(state, network);
      const moments = starting(state, 'exp_avg');
      assert.equal(moments.size, 2 * (await drawn(config())).size);
      for (const [name, { data: numbers }] of moments)
        assert.ok(
          (numbers as Float32Array).every((n) => n === 0),
          name,
        );
    }
  });

  it('starts its averaged weights from them, and can start from the averaged weights of another run by prefix', async () => {
    const averaging = config({ optimizer: { baseLr: 0.05, emaDecay: 0.9 } });
    const averages = new Map([...starting(trained, 'ema/')].map(([name, value]) => [name.slice(4), value]));
    assert.notDeepEqual(data(averages), data(starting(trained, ...NETWORK)));
    const state = await stateBefore(averaging, { path: source, prefix: 'ema' });
    assertSame(state, averages);
    assertSame(state, starting(new Map([...averages].map(([name, value]) => [`ema/${name}`, value])), 'ema/'));
  });

  it('converts the weights of a float16 model, and rejects a quantised one with the reason', async () => {
    const dir = await modelFolder({ precision: 'float16' });
    const name = 'backbone.stages.1.0.pwconv1.weight';
    const rounded = float16ToFloat32(float32ToFloat16(trained.get(name)!.data as Float32Array));
    const state = await stateBefore(config(), { path: dir });
    assert.deepEqual(state.get(name)!.data, rounded);
    assert.notDeepEqual(rounded, trained.get(name)!.data);

    const manifest = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8'));
    const int8 = { ...manifest, precision: 'int8', compute: 'int8' };
    await writeFile(join(dir, 'manifest.json'), JSON.stringify(int8));
    const run = place();
    await assert.rejects(
      trainTiny(run, config(), { init: { path: dir } }),
      /ModelFolderError: .* computes in int8, and its weights cannot be read from it; give the float model/,
    );
    assert.ok(!(await readdir(root)).includes(basename(run)));
  });

  it('initialises a head of another width randomly and reports it', async () => {
    const wider = config(modelKeys({ expander: [32, 32] }));
    const notes: string[] = [];
    const run = place();
    const stop = new AbortController();
    stop.abort();
    const progress = { note: (text: string) => notes.push(text) };
    await trainTiny(run, wider, { signal: stop.signal, init: { path: source }, progress });
    const state = (await loadCheckpoint(run)).tensors;
    assertSame(state, starting(trained, 'backbone.', 'maps_projector.'));
    assertSame(state, starting(await stateBefore(wider), 'projector.'));
    assert.equal(
      notes[0]!.startsWith(`starts from the weights of source/checkpoints/step-00000004.safetensors: `),
      true,
    );
    assert.ok(
      notes.includes(
        'drawn: projector: projector.0.weight is [24, 16], expected [32, 16]; projector.0.bias is [24], expected [32]; ' +
          'projector.1.weight is [24], expected [32] and 2 more',
      ),
      notes.join('\n'),
    );
  });

  it('records the source of the weights in environment.json, also after a resume', async () => {
    const run = place();
    await trainUntil(run, config(), 2, false, { path: source });
    const expected = {
      file: 'source/checkpoints/step-00000004.safetensors',
      sha256: await fileSha256(checkpointPath(source, 4)),
      prefix: 'backbone.',
      license: 'unknown',
    };
    const source1 = await initialSourceOf(run);
    assert.deepEqual({ ...source1, ...expected }, source1);
    const count = (prefix: string) => starting(trained, prefix).size;
    const taken = {
      backbone: count('backbone.'),
      projector: count('projector.'),
      maps_projector: count('maps_projector.'),
    };
    assert.deepEqual(source1?.taken, taken);
    assert.deepEqual(source1?.drawn, []);
    await trainTiny(run, config(), { resume: true });
    assert.deepEqual(await initialSourceOf(run), source1);
  });
});

describe('a resumed run with given weights', () => {
  it('equals an uninterrupted one, also if it was stopped before its first step', async () => {
    const unbroken = place();
    await trainTiny(unbroken, config(), { init: { path: source } });
    const expected = data((await loadCheckpoint(unbroken)).tensors);
    const again = place();
    await trainTiny(again, config(), { init: { path: source } });
    assert.deepEqual(data((await loadCheckpoint(again)).tensors), expected);
    for (const step of [0, 1, 3]) {
      const broken = place();
      const stop = new AbortController();
      if (step === 0) stop.abort();
      await (step === 0
        ? trainTiny(broken, config(), { init: { path: source }, signal: stop.signal })
        : trainUntil(broken, config(), step, false, { path: source }));
      await trainTiny(broken, config(), { resume: true });
      assert.deepEqual(data((await loadCheckpoint(broken)).tensors), expected, `stopped after ${step}`);
    }
    const plain = place();
    await trainTiny(plain, config());
    assert.notDeepEqual(data((await loadCheckpoint(plain)).tensors), expected);
  });

  it('restarts from the given weights with a lower rate if the first step diverged', async () => {
    const run = place();
    const keys = { optimizer: { baseLr: 1e42 }, warmupEpochs: 0, checkpoints: { every: 1 } };
    await assert.rejects(
      trainTiny(run, config(keys), { init: { path: source } }),
      /NonFiniteLossError: step 1: .*the checkpoint of step 0 is good/,
    );
    assert.deepEqual(await listCheckpoints(run), [0]);
    assertSame((await loadCheckpoint(run)).tensors, starting(trained, ...NETWORK));
    const result = await trainTiny(run, config({ ...keys, optimizer: { baseLr: 0.05 } }), { resume: true });
    assert.equal(result.steps, 4);
  });

  it('rejects other weights, and a run without any checkpoint', async () => {
    const run = place();
    await trainUntil(run, config(), 1, false, { path: source });
    await assert.rejects(
      trainTiny(run, config(), { resume: true, init: { path: source } }),
      /ConfigError: a resumed run goes on from its own checkpoint; leave out --init/,
    );
    await rm(join(run, 'checkpoints'), { recursive: true });
    await assert.rejects(
      trainTiny(run, config(), { resume: true }),
      /CheckpointError: the run started from the weights of source\/checkpoints\/step-00000004\.safetensors and has no checkpoint/,
    );
  });
});

/** Random initial weights of a network. */
async function drawn(of: TrainConfig, seed = 5): Promise<Map<string, Tensor>> {
  const { parameters, buffers } = networkSpecs(stepConfigOf(of, undefined));
  return new Map([...parameters, ...buffers].map((spec) => [spec.name, initialise(spec, seed)]));
}

describe('weights that fit only in part', () => {
  const read = (path: string, of: TrainConfig, more: Partial<InitialWeightsOptions> = {}, classes?: number) =>
    readInitialWeights({ path, ...more }, stepConfigOf(of, classes));

  it('are loaded tensor by tensor from a backbone that is deeper or lacks tensors', async () => {
    const deeper = config(modelKeys({ depths: [1, 2] }));
    const { tensors, source: found } = await read(source, deeper);
    assertSame(tensors, starting(trained, ...NETWORK));
    assert.ok(found.drawn.length > 0 && found.drawn.every(({ name }) => name.startsWith('backbone.stages.1.1.')));
    assert.equal(found.drawn[0]!.reason, 'backbone.stages.1.1.dwconv.weight [16, 1, 7, 7] is missing');

    const missing = 'backbone.norm.bias';
    const headless = await checkpointFile(
      'headless',
      [...starting(trained, 'backbone.')].filter(([name]) => name !== missing),
    );
    const part = await read(headless, config());
    assert.equal(part.tensors.size, starting(trained, 'backbone.').size - 1);
    assert.deepEqual(part.source.drawn, [
      { name: missing, reason: `${missing} [16] is missing` },
      { name: 'projector', reason: 'there is none' },
      { name: 'maps_projector', reason: 'there is none' },
    ]);
    // The reverse: additional tensors of the file are named.
    const more = await read(await checkpointFile('deep', await drawn(deeper)), config());
    assert.equal(more.source.drawn.length, 0);
    assert.match(
      more.notes.join('\n'),
      /not used: backbone \(8 tensors\): the network has no backbone\.stages\.1\.1\./,
    );
  });

  it('with layer scale where the network has none, or the reverse, are reported with the configuration key', async () => {
    const scaled = config(modelKeys({ layerScale: 1e-6 }));
    const file = await checkpointFile('scaled', await drawn(scaled));
    assert.match((await read(file, config())).notes.join('\n'), /has no layer scale, .*; set model\.layerScale/);
    assert.match((await read(source, scaled)).notes.join('\n'), /have no layer scale, .*; leave out model\.layerScale/);
    assert.deepEqual((await read(file, scaled)).source.drawn, []);
  });

  it('omit a head of another form, one that the loss does not use, and one with other classes', async () => {
    const [weight, bias] = [
      tensor('float32', [24, 16], new Float32Array(24 * 16)),
      tensor('float32', [24], new Float32Array(24)),
    ];
    const foreign = { 'projector.0.weight': weight, 'projector.0.bias': bias, 'projector.1.running_mean': bias };
    const solo = await checkpointFile('solo', [...starting(trained, 'backbone.', 'maps_'), ...Object.entries(foreign)]);
    const { source: found } = await read(solo, config());
    assert.deepEqual(
      found.drawn.map(({ name }) => name),
      ['projector'],
    );
    assert.match(found.drawn[0]!.reason, /it does not have the form of VICRegL's heads/);

    const local = await read(source, config({ loss: { alpha: 0, numMatches: [3, 2] } }));
    assert.ok(!local.tensors.has('projector.0.weight'));
    assert.match(local.notes.join('\n'), /not used: projector \(5 tensors\): the loss of this run has no such head/);

    const classifier = [
      ['classifier.weight', tensor('float32', [2, 16], new Float32Array(32))],
      ['classifier.bias', tensor('float32', [2], new Float32Array(2))],
    ] as const;
    const classed = await read(await checkpointFile('classed', [...trained, ...classifier]), config(), {}, 2);
    assert.ok(!classed.tensors.has('classifier.weight'));
    assert.match(
      classed.notes.join('\n'),
      /not used: classifier \(2 tensors\): its classes are those of other photographs/,
    );
  });

  it('are an error if no tensor of the backbone fits or a number is not finite', async () => {
    await assert.rejects(
      read(source, config(modelKeys({ widths: [12, 20] }))),
      /ConfigError: nothing of the backbone in .*source.*, a convnext, fits the network.*downsample_layers\.0\.0\.weight is \[8, 3, 4, 4\], expected \[12, 3, 4, 4\].*set model\.architecture/,
    );
    const broken = new Map(starting(trained, ...NETWORK));
    const name = 'backbone.norm.weight';
    broken.set(name, tensor('float32', [16], new Float32Array(16).fill(Number.NaN, 3)));
    await assert.rejects(
      read(await checkpointFile('nan', broken), config()),
      /backbone\.norm\.weight holds NaN \(element 3\)/,
    );
  });

  it('are selected among several encoders by a prefix', async () => {
    const [student, teacher] = [await drawn(config(), 1), await drawn(config(), 2)];
    const both = await checkpointFile('dino', [
      ...[...starting(student, 'backbone.')].map(([name, value]) => [`student.${name}`, value] as const),
      ...[...starting(teacher, 'backbone.')].map(([name, value]) => [`teacher.${name}`, value] as const),
    ]);
    await assert.rejects(
      read(both, config()),
      /holds 2 backbones; choose one with --init-prefix: student\.backbone\., teacher\.backbone\./,
    );
    const { tensors, source: found } = await read(both, config(), { prefix: 'teacher' });
    assertSame(tensors, starting(teacher, 'backbone.'));
    assert.equal(found.prefix, 'teacher.backbone.');
    await assert.rejects(
      read(await modelFolder({}), config(), { prefix: 'teacher' }),
      /is a model folder, which has one encoder/,
    );
  });

  it('are those of the requested step, which only a run has', async () => {
    const run = place();
    await trainTiny(run, config({ checkpoints: { every: 2 } }));
    const { tensors } = await loadCheckpoint(run, 2);
    assertSame((await read(run, config(), { checkpoint: 2 })).tensors, starting(tensors, ...NETWORK));
    await assert.rejects(
      read(checkpointPath(run, 2), config(), { checkpoint: 2 }),
      /--checkpoint chooses one of a run's/,
    );
    await assert.rejects(read(photographs, config()), /is neither a model folder .* nor a run folder/);
    await assert.rejects(
      read(join(root, 'nowhere'), config()),
      /nowhere, cannot be read: there is no such file or folder/,
    );
  });

  it('include the running statistics of batch normalisation', async () => {
    const resnet: StepConfig = {
      ...stepConfigOf(config(), undefined),
      model: { backbone: { family: 'resnet', block: 'basic', layers: [1, 1, 1, 1], width: 4 } },
    };
    const { parameters, buffers } = networkSpecs(resnet);
    const values = new Map([...parameters, ...buffers].map((spec) => [spec.name, initialise(spec, 9)]));
    for (const { name, shape } of buffers) {
      values.set(name, tensor('float32', shape, new Float32Array(shape[0]!).fill(0.75)));
    }
    const path = await checkpointFile('resnet', values);
    const { tensors } = await readInitialWeights({ path }, resnet);
    assert.ok(buffers.length > 0);
    assertSame(tensors, values);
  });
});
