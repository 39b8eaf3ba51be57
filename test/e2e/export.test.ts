import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { EngineOutputs, OutputName } from '../../src/engine/engine.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { exportModel } from '../../src/models/exportModel.js';
import type { ExportOptions } from '../../src/models/exportSource.js';
import { openModelFolder } from '../../src/models/folder.js';
import { writeRandomModel } from '../../src/models/randomModel.js';
import { constantParameters } from '../../src/nn/parameters.js';
import { normalisePixels } from '../../src/nn/pixels.js';
import { stream } from '../../src/tensor/random.js';
import { elementCount, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { forwardView } from '../../src/train/model.js';
import { evaluate, numbers, relativeError } from '../support/graphs.js';
import { tinyConfig, tinyKeys, trainTiny, writePhotographs } from '../support/tinyRun.js';
import { tinyModelConfig, tinyWeights } from '../support/tinyWeights.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/** Export of training weights to a model folder that can be served. */

const OUTPUTS: readonly OutputName[] = ['representation', 'maps', 'embedding', 'maps_embedding'];
const weights = tinyWeights(tinyModelConfig);

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-export-'));
});
after(() => rm(scratch, { recursive: true }));

function images(shape: readonly number[]): Tensor<'uint8'> {
  const random = stream(9, 'images', ...shape);
  return tensor(
    'uint8',
    shape,
    Uint8Array.from({ length: elementCount(shape) }, () => random.integer(256)),
  );
}

/** Outputs of the training graph in evaluation, without drop path and with static shapes. */
async function trainingForward(batch: Tensor<'uint8'>): Promise<Record<OutputName, number[]>> {
  const outputs = await evaluate((feed, graph) => {
    const pixels = normalisePixels(feed(batch));
    const view = forwardView(pixels, tinyModelConfig, constantParameters(graph, weights));
    const { representation, maps, embedding, mapsEmbedding } = view;
    return { representation, maps, embedding: embedding!, maps_embedding: mapsEmbedding! };
  });
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, numbers(value)])) as never;
}

async function exported(dir: string, options: ExportOptions) {
  const { backbone, expander, localProjector } = tinyModelConfig;
  await exportModel(
    dir,
    {
      name: 'tiny',
      version: '1',
      architecture: 'custom',
      backbone,
      expander,
      localProjector,
      alpha: 0.75,
      weights,
      license: 'Apache-2.0',
      training: {},
    },
    options,
  );
  const folder = await openModelFolder(dir);
  return createOnnxEngine(folder, { device: 'cpu', threads: 1 });
}

describe('an exported model', () => {
  for (const [precision, tolerance] of [
    ['float32', 1e-5],
    ['float16', 5e-3],
  ] as const) {
    test(`in ${precision} agrees with the training graph to ${tolerance}, at any size and batch`, async () => {
      const engine = await exported(join(scratch, precision), { precision });
      assert.deepEqual(engine.outputs, new Set(OUTPUTS));
      try {
        for (const [count, height, width] of [
          [1, 64, 64],
          [3, 64, 64],
          [2, 96, 160],
          [1, 32, 96],
        ] as const) {
          const batch = images([count, height, width, 3]);
          const [actual, expected] = [await engine.run(batch, new Set(OUTPUTS)), await trainingForward(batch)];
          const [rows, columns] = [height / 32, width / 32];
          assert.deepEqual(shapes(actual), {
            representation: [count, 16],
            maps: [count, rows, columns, 16],
            embedding: [count, 20],
            maps_embedding: [count, rows, columns, 12],
          });
          for (const name of OUTPUTS) {
            const error = relativeError(numbers(actual[name]!), expected[name]!);
            assert.ok(error <= tolerance, `${name} at ${count} x ${height} x ${width}: relative error ${error}`);
          }
        }
      } finally {
        await engine.close();
      }
    });
  }

  test('in float16 has about half the bytes and differs from float32', async () => {
    const [full, half] = await Promise.all(
      ['float32', 'float16'].map(async (name) => (await openModelFolder(join(scratch, name))).manifest),
    );
    const bytes = (manifest: typeof full) => Object.values(manifest!.files).reduce((sum, file) => sum + file.bytes, 0);
    assert.notEqual(full!.files['backbone.onnx']!.sha256, half!.files['backbone.onnx']!.sha256);
    const matrices = [...weights.values()].filter(({ shape }) => shape.length > 1);
    const saved = matrices.reduce((sum, { shape }) => sum + 2 * elementCount(shape), 0);
    assert.ok(bytes(full) - bytes(half) > 0.7 * saved, `${bytes(full)} and ${bytes(half)}, ${saved} to save`);
  });

  test('with layer scale agrees with the training graph, and its manifest describes the same network', async () => {
    const config = { ...tinyModelConfig, backbone: { ...tinyModelConfig.backbone, layerScale: 0.5 } };
    const own = tinyWeights(config);
    const dir = join(scratch, 'layer-scale');
    const { expander: _, ...rest } = config;
    const about = { name: 'tiny', version: '1', architecture: 'custom', alpha: 0, license: 'Apache-2.0', training: {} };
    await exportModel(dir, { ...about, ...rest, weights: own }, { precision: 'float16' });
    const { manifest } = await openModelFolder(dir);
    assert.equal(manifest.layerScale, 0.5);
    const batch = images([2, 64, 64, 3]);
    const engine = await createOnnxEngine(await openModelFolder(dir), { device: 'cpu', threads: 1 });
    const { representation } = await engine.run(batch, new Set(['representation']));
    await engine.close();
    const { y } = await evaluate((feed, graph) => ({
      y: forwardView(normalisePixels(feed(batch)), { backbone: config.backbone }, constantParameters(graph, own))
        .representation,
    }));
    assert.ok(relativeError(numbers(representation!), numbers(y)) <= 5e-3);
    assert.equal((await writeRandomModel(join(scratch, 'layer-scale-random'), manifest, 1)).layerScale, 0.5);
  });

  test('does not replace an existing folder without force', async () => {
    const dir = join(scratch, 'float32');
    const before = await readFile(join(dir, 'manifest.json'));
    await assert.rejects(exported(dir, { precision: 'float16' }), {
      name: 'ModelFolderError',
      message: /exists already/,
    });
    assert.deepEqual(await readFile(join(dir, 'manifest.json')), before);
  });

  test('is not made from weights that do not fit', async () => {
    const cut = new Map(weights);
    cut.delete('backbone.norm.bias');
    const dir = join(scratch, 'unfit');
    await assert.rejects(
      exportModel(
        dir,
        {
          name: 'tiny',
          version: '1',
          architecture: 'custom',
          backbone: tinyModelConfig.backbone,
          alpha: 0.75,
          weights: cut,
          license: 'Apache-2.0',
          training: {},
        },
        { precision: 'float32' },
      ),
      { name: 'ParameterError', message: 'parameter "backbone.norm.bias" [16] is missing' },
    );
    assert.ok(!(await readdir(scratch)).includes('unfit'));
  });
});

const shapes = (outputs: EngineOutputs) =>
  Object.fromEntries(Object.entries(outputs).map(([name, { shape }]) => [name, [...shape]]));

describe('vicregl export', () => {
  const { depths, widths } = tinyKeys('').model;
  const runBackbone = { family: 'convnext', depths, widths } as const;
  let run: string;
  let steps: number;
  before(async () => {
    const photographs = join(scratch, 'photographs');
    await writePhotographs(
      photographs,
      Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
    );
    run = join(scratch, 'run');
    ({ steps } = await trainTiny(run, tinyConfig(photographs, { checkpoints: { every: 1, keep: 4 } })));
  });

  test('writes a model folder that can be served and records the training data', async () => {
    const dir = join(scratch, 'my-model');
    const { code, stdout, stderr } = await vicregl('export', run, '--out', dir, '--note', 'eight blobs');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /my-model: custom, step 4, .* MiB\nserve it with: npx vicregl serve --model .*my-model\n$/);
    const folder = await openModelFolder(dir); // checks the manifest and every checksum
    const { manifest } = folder;
    assert.deepEqual((await readdir(dir)).sort(), ['manifest.json', ...Object.keys(manifest.files)].sort());
    assert.deepEqual(Object.keys(manifest.files).sort(), [
      'backbone.onnx',
      'config.yaml',
      'environment.json',
      'expander.onnx',
      'local_projector.onnx',
      'log.jsonl',
      'loss.svg',
      'weights.safetensors',
    ]);
    assert.deepEqual(
      [manifest.name, manifest.architecture, manifest.alpha, manifest.stride, manifest.precision],
      ['my-model', 'custom', 0.75, 8, 'float32'],
    );
    assert.deepEqual(manifest.dims, { representation: 16, mapsEmbedding: 16, embedding: 24 });
    const { note, steps: trained, batchSize, cropSize, seed } = manifest.training;
    assert.deepEqual([note, trained, batchSize, cropSize, seed], ['eight blobs', steps, 4, 64, 3]);
    assert.match(await readFile(join(dir, 'loss.svg'), 'utf8'), /^<svg[\s\S]*total loss[\s\S]*<\/svg>\s*$/);

    // The weights are those of the checkpoint.
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const batch = images([1, 64, 64, 3]);
    const { representation } = await engine.run(batch, new Set(['representation']));
    await engine.close();
    const { tensors } = await loadCheckpoint(run);
    const { y } = await evaluate((feed, graph) => ({
      y: forwardView(normalisePixels(feed(batch)), { backbone: runBackbone }, constantParameters(graph, tensors))
        .representation,
    }));
    assert.ok(relativeError(numbers(representation!), numbers(y)) <= 1e-5);
  });

  test("records the licence of --license, otherwise of the run's key, otherwise that it is unknown", async () => {
    const licenseOf = async (name: string, ...flags: string[]) => {
      const dir = join(scratch, name);
      const { code, stderr } = await vicregl('export', run, '--out', dir, ...flags);
      assert.equal(code, 0, stderr);
      return [(await openModelFolder(dir)).manifest.license, stderr];
    };
    const note = 'The licence of the weights is unknown; set it with --license.\n';
    assert.deepEqual(await licenseOf('unsaid'), ['unknown', note]);
    assert.deepEqual(await licenseOf('said', '--license', 'MIT'), ['MIT', '']);
    // The key is added after the run. config.yaml is restored afterwards.
    const path = join(run, 'config.yaml');
    const before = await readFile(path, 'utf8');
    try {
      await writeFile(path, `license: CC-BY-4.0\n${before}`);
      assert.deepEqual(await licenseOf('keyed'), ['CC-BY-4.0', '']);
      assert.deepEqual(await licenseOf('both', '--license', 'MIT'), ['MIT', '']);
    } finally {
      await writeFile(path, before);
    }
  });

  test('exports the averaged weights on request and reports it; without any, the error says how to get them', async () => {
    const refused = await vicregl('export', run, '--out', join(scratch, 'no-ema'), '--weights', 'ema');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^vicregl: the checkpoint holds no averaged weights: .*optimizer\.emaDecay.*\n$/);

    const averaging = join(scratch, 'averaging');
    const optimizer = { baseLr: 0.5, emaDecay: 0.9 };
    await trainTiny(averaging, tinyConfig(join(scratch, 'photographs'), { optimizer }));
    const { tensors } = await loadCheckpoint(averaging);
    const served = async (which: string) => {
      const dir = join(scratch, `averaging-${which}`);
      const { code, stderr } = await vicregl('export', averaging, '--out', dir, '--weights', which);
      assert.equal(code, 0, stderr);
      const folder = await openModelFolder(dir);
      assert.equal(folder.manifest.training['weights'], which);
      assert.equal(folder.manifest.training['emaDecay'], which === 'ema' ? 0.9 : undefined);
      const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
      const { representation } = await engine.run(images([1, 64, 64, 3]), new Set(['representation']));
      await engine.close();
      return numbers(representation!);
    };
    const forward = async (prefix: string) => {
      const chosen = new Map(
        [...tensors].map(([name]) => [name, tensors.get(`${prefix}${name}`) ?? tensors.get(name)!]),
      );
      const { y } = await evaluate((feed, graph) => ({
        y: forwardView(
          normalisePixels(feed(images([1, 64, 64, 3]))),
          { backbone: runBackbone },
          constantParameters(graph, chosen),
        ).representation,
      }));
      return numbers(y);
    };
    const [last, ema] = [await forward(''), await forward('ema/')];
    assert.ok(relativeError(await served('last'), last) <= 1e-5);
    assert.ok(relativeError(await served('ema'), ema) <= 1e-5);
    assert.ok(relativeError(last, ema) > 1e-3);
  });

  test('omits the expander on request, and replaces a folder only with --force', async () => {
    const dir = join(scratch, 'small');
    await exported(dir, { precision: 'float32' }).then((engine) => engine.close());
    const again = ['export', run, '--out', dir, '--no-expander', '--precision', 'float16'];
    const refused = await vicregl(...again);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^vicregl: .*small exists already; .*\n$/);
    assert.equal((await openModelFolder(dir)).manifest.precision, 'float32');
    assert.equal((await vicregl(...again, '--force')).code, 0);
    const { manifest, graphPath } = await openModelFolder(dir);
    assert.equal(manifest.precision, 'float16');
    assert.equal(graphPath('expander'), undefined);
    assert.ok(!(await readdir(dir)).includes('expander.onnx'));
  });

  test('exports the requested checkpoint, with the log up to it', async () => {
    const dir = join(scratch, 'second');
    const { code, stdout, stderr } = await vicregl('export', run, '--out', dir, '--checkpoint', '2');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /second: custom, step 2, /);
    assert.equal((await openModelFolder(dir)).manifest.training['steps'], 2);
    const none = ['export', run, '--out', join(scratch, 'none')];
    const [gone, word] = [
      await vicregl(...none, '--checkpoint', '9'),
      await vicregl(...none, '--checkpoint', 'newest'),
    ];
    assert.match(gone.stderr, /^vicregl: .* has no checkpoint of step 9; it has 1, 2, 3, 4 /);
    assert.match(word.stderr, /must be latest, best or a step number/);
  });

  test('reports a folder without a run in one clear line', async () => {
    const { code, stderr } = await vicregl('export', scratch, '--out', join(scratch, 'none'));
    assert.equal(code, 1);
    assert.match(stderr, /^vicregl: .* is not a run folder: it holds no config\.yaml.*\n$/);
  });
});
