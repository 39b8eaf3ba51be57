import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { exportModel } from '../../src/models/exportModel.js';
import { openModelFolder } from '../../src/models/folder.js';
import { writePhotographs } from '../support/tinyRun.js';
import { tinyModelConfig, tinyWeights } from '../support/tinyWeights.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/** `vicregl models` on a tiny float model. */
describe('vicregl models', () => {
  let scratch: string;
  let float: string;
  let photographs: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-models-'));
    float = join(scratch, 'float');
    photographs = join(scratch, 'photographs');
    const { backbone, localProjector } = tinyModelConfig;
    await exportModel(
      float,
      {
        name: 'float',
        version: '1',
        architecture: 'custom',
        backbone,
        localProjector,
        alpha: 0.75,
        weights: tinyWeights(tinyModelConfig),
        license: 'Apache-2.0',
        training: { note: 'random' },
        files: new Map([['README.md', new TextEncoder().encode('card')]]),
      },
      { precision: 'float32' },
    );
    await writePhotographs(
      photographs,
      Array.from({ length: 8 }, (_, i) => `${i}.jpg`),
    );
  });
  after(() => rm(scratch, { recursive: true }));

  it('list names the bundled model with its form; show prints a manifest of version 1 as version 2', async () => {
    const { stdout } = await vicregl('models', 'list');
    assert.match(stdout, /^vicregl-resnet18-half +resnet_basic, 256 channels, stride 16, float16.*Apache-2\.0/m);
    const shown = JSON.parse((await vicregl('models', 'show', 'vicregl-resnet18-half')).stdout);
    assert.equal(shown.schemaVersion, 2);
    assert.deepEqual(shown.outputs.maps, {
      graph: 'backbone',
      shape: ['batch', 'rows', 'columns', 256],
      stride: 16,
    });
  });

  it('quantize makes an int8 model that can be served; compare shows its agreement with the float model', async () => {
    const out = join(scratch, 'int8');
    const made = await vicregl('models', 'quantize', float, '--images', photographs, '--calibrate', '5', '--out', out);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /int8, 5 calibration images, .* for cells of 3 other images\n$/);
    const { manifest } = await openModelFolder(out);
    assert.equal(manifest.name, 'int8');
    const card = await readFile(join(out, 'README.md'), 'utf8');
    assert.match(
      card,
      /# int8\n\nWritten by `vicregl models quantize` from float 1 \(float32\)\..*come from 5 images.*On 3 other images/s,
    );
    assert.match(card, /\ncard$/);

    const compared = await vicregl('models', 'compare', float, out, '--images', photographs, '--count', '4');
    const { images, representation, cells, speed } = JSON.parse(compared.stdout);
    assert.equal(images, 4);
    assert.ok(representation.worst > 0.99 && cells.mean > 0.98, compared.stdout);
    assert.match(representation.worstImage, /^\d\.jpg$/);
    assert.ok(speed.a > 0 && Math.abs(speed.ratio - speed.b / speed.a) < 1e-9);

    const embedded = await vicregl('embed', join(photographs, '0.jpg'), '--model', out);
    assert.deepEqual(JSON.parse(embedded.stdout).shape, [16]);
  });

  it('are found by name where a command takes one: ./models, then those of the package', async () => {
    const images = join(scratch, 'named');
    await writePhotographs(images, ['0.jpg', '1.jpg']);
    const embedded = await vicregl('embed', join(images, '0.jpg'), '--model', 'vicregl-resnet18-half-int8');
    assert.deepEqual(JSON.parse(embedded.stdout).shape, [256], embedded.stderr);
    const flags = ['--images', images, '--baseline', 'vicregl-resnet18-half-int8', '--baseline', 'no-such'];
    const { code, stderr } = await vicregl('evaluate', 'matches', '--model', 'vicregl-resnet18-half', ...flags);
    assert.equal(code, 1);
    assert.match(stderr, /--baseline: there is no model "no-such": .*existing models: .*vicregl-resnet18-half/);
  });

  it('quantize and compare skip images that cannot be decoded, and name them', async () => {
    const mixed = join(scratch, 'mixed');
    await writePhotographs(mixed, ['0.jpg', '1.jpg', '2.jpg', '3.jpg']);
    await writeFile(join(mixed, '00.jpg'), 'no picture');
    const out = join(scratch, 'int8-mixed');
    const made = await vicregl('models', 'quantize', float, '--images', mixed, '--calibrate', '3', '--out', out);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stderr, /^skipped 00\.jpg: /m);
    assert.match(made.stdout, /int8, \d calibration images/);
    assert.equal(
      /int8, (\d)/.exec(made.stdout)![1],
      String((await openModelFolder(out)).manifest.quantization!.images),
    );
    const compared = await vicregl('models', 'compare', float, out, '--images', mixed);
    const { images, skipped } = JSON.parse(compared.stdout);
    assert.deepEqual([images, skipped.length], [4, 1]);
    assert.match(skipped[0], /^00\.jpg: /);

    const broken = join(scratch, 'broken');
    await mkdir(broken);
    await writeFile(join(broken, '0.jpg'), 'no picture');
    for (const args of [
      ['quantize', float, '--images', broken, '--out', join(scratch, 'x')],
      ['compare', float, out, '--images', broken],
    ]) {
      const { code, stderr } = await vicregl('models', ...args);
      assert.equal(code, 1);
      assert.match(stderr, /^skipped 0\.jpg: /, 'the reason');
    }
  });

  it('convert writes another form, and verify accepts it until one byte changes', async () => {
    const out = join(scratch, 'half');
    const made = await vicregl('models', 'convert', float, '--out', out, '--compute', 'float16', '--stages', '2,4');
    assert.match(made.stdout, /half: custom, float16, /, made.stderr);
    const verified = await vicregl('models', 'verify', out);
    assert.match(
      verified.stdout,
      /^half: 4 files as listed, graphs backbone, localProjector load; outputs as recorded/,
    );
    await appendFile(join(out, 'backbone.onnx'), 'x');
    const damaged = await vicregl('models', 'verify', out);
    assert.equal(damaged.code, 1);
    assert.match(damaged.stderr, /backbone\.onnx has \d+ bytes, expected \d+/);
  });

  it('reject impossible requests in one clear line', async () => {
    const cases: [string[], RegExp][] = [
      [['verify', 'nowhere'], /there is no model "nowhere".*existing models: .*vicregl-resnet18-half/],
      [['convert', float, '--out', join(scratch, 'x'), '--output-stride', '8'], /output stride 8: a ConvNeXt's is 32/],
      [['convert', float, '--out', join(scratch, 'x'), '--stages', '0'], /list of stages, counted from 1/],
      [
        ['quantize', join(scratch, 'int8'), '--images', photographs, '--out', join(scratch, 'x')],
        /computes in int8.*give the float model/,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await vicregl('models', ...args);
      assert.equal(code, 1, args.join(' '));
      assert.match(stderr, message);
    }
  });
});
