import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { verifyModel } from '../../src/models/verifyModel.js';
import { readSafetensors, writeSafetensors } from '../../src/tensor/safetensors.js';
import { tensor } from '../../src/tensor/tensor.js';
import { vicreglInHost as vicregl } from '../support/vicregl.js';

/** Imports checkpoints and serves them. */
describe('vicregl import', () => {
  let scratch: string;
  const fixture = 'test/golden/train_convnext_adamw';
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-import-'));
  });
  after(() => rm(scratch, { recursive: true }));

  it("makes a working model of an authors' checkpoint that passes verification, and prints its licence each time", async () => {
    const file = join(scratch, 'convnext_small_alpha0.75_fullckpt.pth');
    await copyFile(`${fixture}.pth`, file);
    const out = join(scratch, 'authors');
    const made = await vicregl('import', file, '--out', out);
    assert.equal(made.code, 0, made.stderr);
    assert.match(
      made.stderr,
      /^The authors' weights are CC-BY-NC-4\.0: no commercial use\.\nIts classifier with 5 classes is in classifier\.onnx\.\n$/,
    );
    assert.match(made.stdout, /authors: convnext, alpha 0\.75, 32 channels\nserve it with: npx vicregl serve --model/);
    const model = JSON.parse((await vicregl('model', '--model', out)).stdout);
    assert.deepEqual([model.name, model.license, model.alpha], ['authors', 'CC-BY-NC-4.0', 0.75]);
    const embedded = await vicregl('embed', 'test/fixtures/photos/coffee.jpg', '--model', out);
    assert.deepEqual(JSON.parse(embedded.stdout).shape, [32]);
    const { files, graphs } = await verifyModel(out);
    assert.deepEqual([files, graphs], [5, ['backbone', 'localProjector', 'expander', 'classifier']]);
  });

  it('reads a checkpoint of our own training and skips the optimizer state', async () => {
    const { tensors } = await readSafetensors(`${fixture}.init.safetensors`);
    const moments = [...tensors].map(([name, value]) => [`exp_avg/${name}`, value] as const);
    const file = join(scratch, 'step-00000200.safetensors');
    await writeSafetensors(file, new Map([...tensors, ...moments]), { step: '200', seed: '3' });
    const made = await vicregl('import', file, '--alpha', '0.9', '--license', 'MIT', '--out', join(scratch, 'own'));
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stderr, /^Skipped: exp_avg \(\d+ tensors\)$/m);
    const manifest = JSON.parse(await readFile(join(scratch, 'own', 'manifest.json'), 'utf8'));
    assert.deepEqual([manifest.alpha, manifest.license], [0.9, 'MIT']);
    assert.deepEqual(manifest.training.checkpoint, { step: '200', seed: '3' });
  });

  it('skips a head of another form, and leaves alpha unknown unless a flag gives it', async () => {
    const { tensors } = await readSafetensors(`${fixture}.init.safetensors`);
    const file = join(scratch, 'solo.safetensors');
    const head = tensor('float32', [24, 32], new Float32Array(24 * 32));
    const vector = tensor('float32', [24], new Float32Array(24));
    const foreign = { 'projector.0.weight': head, 'projector.0.bias': vector, 'projector.1.running_mean': vector };
    const backbone = [...tensors].filter(([name]) => name.startsWith('backbone.'));
    await writeSafetensors(file, new Map([...backbone, ...Object.entries(foreign)]));
    const out = join(scratch, 'solo');
    const made = await vicregl('import', file, '--out', out);
    assert.equal(made.code, 0, made.stderr);
    assert.match(
      made.stderr,
      /^Skipped: projector \(3 tensors\): it does not have the form of VICRegL's heads: unexpected/m,
    );
    assert.match(made.stdout, /solo: convnext, alpha unknown, 32 channels/);
    assert.equal(JSON.parse((await vicregl('model', '--model', out)).stdout).alpha, null);

    const again = ['import', file, '--out', out, '--force', '--json', '--alpha', '0.5'];
    const report = JSON.parse((await vicregl(...again)).stdout);
    assert.deepEqual([report.alpha, report.heads.expander, report.leftOut.length], [0.5, null, 1]);
    assert.match(report.leftOut[0].reason, /projector\.1\.running_mean/);
    const quiet = JSON.parse((await vicregl(...again, '--no-expander')).stdout);
    assert.deepEqual(quiet.leftOut, [{ name: 'projector', tensors: 3, reason: 'not asked for' }]);
    const { training } = JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8'));
    assert.deepEqual(training.leftOut, quiet.leftOut);
  });

  it('rejects unreadable checkpoints with one clear message and writes nothing', async () => {
    const page = join(scratch, 'resnet50_alpha0.75.pth');
    await writeFile(page, '<!DOCTYPE html><html>404</html>');
    const before = await readdir(scratch);
    for (const [args, message] of [
      [[join(scratch, 'absent.pth')], /absent\.pth cannot be read: there is no such file/],
      [[page], /is not a checkpoint but a web page: the download failed/],
      [
        [`${fixture}.pth`, '--prefix', 'teacher.'],
        /no backbone under the prefix "teacher\."; there is module\.backbone\./,
      ],
      [[`${fixture}.pth`, '--alpha', '2'], /must be a number in 0\.\.1/],
    ] as const) {
      const { code, stderr } = await vicregl('import', ...args, '--out', join(scratch, 'refused'));
      assert.equal(code, 1, args.join(' '));
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n +at /, 'no stack');
    }
    assert.deepEqual(await readdir(scratch), before);
  });
});
