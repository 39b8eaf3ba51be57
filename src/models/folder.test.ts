import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tinyManifest, tinyModelFiles } from '../../test/support/tinyModel.js';
import { openModelFolder, writeModelFolder } from './folder.js';
import type { Manifest } from './manifest.js';
import { modelOutputs } from './modelOutputs.js';
import { parseManifest } from './parseManifest.js';

const folderError = (message: RegExp) => ({ name: 'ModelFolderError', message });

describe('model folders', () => {
  let parent: string;
  let count = 0;
  before(async () => {
    parent = await mkdtemp(join(tmpdir(), 'vicregl-folder-'));
  });
  after(() => rm(parent, { recursive: true }));
  const freshDir = () => join(parent, `model-${count++}`);

  async function written(): Promise<string> {
    const dir = freshDir();
    await writeModelFolder(dir, tinyManifest, tinyModelFiles());
    return dir;
  }

  async function editManifest(dir: string, edit: (manifest: Record<string, unknown>) => void): Promise<void> {
    const manifest = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8'));
    edit(manifest);
    await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest));
  }

  it('are read as they were written, with checksums and absolute graph paths', async () => {
    const dir = await written();
    const { manifest, graphPath } = await openModelFolder(dir);
    const { files, ...rest } = manifest;
    assert.deepEqual(rest, tinyManifest);
    assert.deepEqual(Object.keys(files).sort(), ['backbone.onnx', 'expander.onnx', 'local_projector.onnx']);
    assert.equal(files['backbone.onnx']?.bytes, tinyModelFiles().get('backbone.onnx')?.byteLength);
    assert.equal(graphPath('localProjector'), join(dir, 'local_projector.onnx'));
  });

  it('may lack heads and contain files that the manifest does not list', async () => {
    const dir = freshDir();
    const { representation } = tinyManifest.dims;
    const files = new Map([['backbone.onnx', tinyModelFiles().get('backbone.onnx')!]]);
    const manifest = {
      ...tinyManifest,
      dims: { representation },
      outputs: modelOutputs({ representation }, tinyManifest.stride),
      graphs: { backbone: 'backbone.onnx' },
    };
    await writeModelFolder(dir, manifest, files);
    await writeFile(join(dir, 'README.md'), 'notes');
    const folder = await openModelFolder(dir);
    assert.deepEqual([folder.graphPath('localProjector'), folder.graphPath('expander')], [undefined, undefined]);
  });

  it('are rejected with every problem of the manifest, by key', async () => {
    const dir = await written();
    await editManifest(dir, (manifest) => {
      manifest['alpha'] = 2;
      manifest['preprocesing'] = {};
      delete manifest['stride'];
    });
    await assert.rejects(openModelFolder(dir), (error: Error) => {
      assert.equal(error.name, 'ModelFolderError');
      assert.match(error.message, /manifest\.json is not a valid manifest/);
      for (const problem of [/alpha: /, /stride: /, /preprocesing/]) assert.match(error.message, problem);
      return true;
    });
  });

  it('are rejected if graphs, dims and files do not agree', async () => {
    const dir = await written();
    await editManifest(dir, (manifest) => {
      manifest['graphs'] = { backbone: 'other.onnx', expander: 'expander.onnx' };
    });
    await assert.rejects(
      openModelFolder(dir),
      folderError(
        /graphs\.backbone: other\.onnx is not listed in files\n.*graphs\.localProjector and dims\.mapsEmbedding/,
      ),
    );
  });

  it('are rejected if a manifest says two things about one network', () => {
    const files = Object.fromEntries(
      [...tinyModelFiles().keys()].map((name) => [name, { sha256: '0'.repeat(64), bytes: 1 }]),
    );
    const whole: Manifest = { ...tinyManifest, files };
    const { outputs, preprocessing } = whole;
    const check = { channels: [0, 15], values: [1, 2], norm: 3, tolerance: 1e-3 };
    const named = { ...outputs['maps']!, shape: ['B', 'h', 'w', 16] };
    parseManifest({ ...whole, check, outputs: { ...outputs, maps: named } }, 'm');
    for (const [change, message] of [
      [{ stride: 16 }, /outputs\.maps: it is \[\*, \*, \*, 16\] of backbone with stride 8; .* with stride 16/],
      [{ dims: { ...whole.dims, representation: 300 } }, /widths: the last stage has 16 channels, and .* is 300/],
      [{ dims: { ...whole.dims, embedding: 300 } }, /heads\.expander: it ends with 20, and dims\.embedding is 300/],
      [{ outputs: {} }, /outputs\.representation: it is missing\n.*outputs\.maps: it is missing/],
      [{ outputs: { ...outputs, stage2: outputs['maps']! } }, /outputs\.stage2: dims and widths have no such output/],
      [{ input: { ...whole.input, shape: [1, 2] } }, /input\.shape: it must be/],
      [{ depths: [1, 1] }, /widths: 1 stages, and depths has 2/],
      [{ preprocessing: { ...preprocessing, std: [1, 0, 1] } }, /preprocessing\.std\.1: /],
      [{ preprocessing: { ...preprocessing, crop: 65 } }, /preprocessing\.crop: 65 is more than resize, 64/],
      [{ compute: 'int8' }, /compute: int8 does not go with precision float32/],
      [{ check: { ...check, values: [1] } }, /check\.values: 1 for 2 channels/],
      [{ check: { ...check, channels: [0, 16] } }, /check\.channels: .* no 16/],
      [{ check: { ...check, norm: -1 } }, /check\.norm: /],
      [{ graphs: { ...whole.graphs, backbone: 'constructor' } }, /graphs\.backbone: constructor is not listed/],
      [{ files: { ...files, '..': files['backbone.onnx'] } }, /plain file name/],
    ] as const) {
      assert.throws(() => parseManifest({ ...whole, ...change }, 'm'), folderError(message));
    }
  });

  it('of version 1 are read, with the outputs that it had', () => {
    const { input: _, outputs: __, compute: ___, ...old } = tinyManifest;
    const files = Object.fromEntries(
      [...tinyModelFiles().keys()].map((name) => [name, { sha256: '0'.repeat(64), bytes: 1 }]),
    );
    assert.deepEqual(parseManifest({ ...old, schemaVersion: 1, files }, 'm'), { ...tinyManifest, files });
  });

  it('are rejected with every damaged file, with expected and actual checksum', async () => {
    const dir = await written();
    await appendFile(join(dir, 'backbone.onnx'), 'x');
    const expander = await readFile(join(dir, 'expander.onnx'));
    expander[expander.length - 1]! ^= 1;
    await writeFile(join(dir, 'expander.onnx'), expander);
    await rm(join(dir, 'local_projector.onnx'));
    await assert.rejects(openModelFolder(dir), (error: Error) => {
      assert.match(error.message, /backbone\.onnx has \d+ bytes, expected \d+/);
      assert.match(error.message, /expander\.onnx has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}/);
      assert.match(error.message, /local_projector\.onnx is missing/);
      return true;
    });
  });

  it('are rejected without a manifest, or if it is not JSON', async () => {
    await assert.rejects(openModelFolder(join(parent, 'absent')), folderError(/cannot read .*absent\/manifest\.json/));
    const dir = await written();
    await writeFile(join(dir, 'manifest.json'), '{');
    await assert.rejects(openModelFolder(dir), folderError(/manifest\.json is not JSON/));
  });

  it('are overwritten only with force, and without leftover files', async () => {
    const dir = await written();
    await assert.rejects(writeModelFolder(dir, tinyManifest, tinyModelFiles()), folderError(/exists already.*force/));
    await writeModelFolder(dir, { ...tinyManifest, version: '2' }, tinyModelFiles(), { force: true });
    assert.equal((await openModelFolder(dir)).manifest.version, '2');
    assert.deepEqual(
      (await readdir(parent)).filter((name) => !/^model-\d+$/.test(name)),
      [],
    );
  });

  it('never replace anything but a model folder, even with force', async () => {
    const dir = await written();
    await writeFile(join(dir, 'thesis.txt'), 'mine');
    const force = { force: true };
    await assert.rejects(writeModelFolder(dir, tinyManifest, tinyModelFiles(), force), folderError(/not replaced/));
    assert.equal(await readFile(join(dir, 'thesis.txt'), 'utf8'), 'mine');
    await openModelFolder(dir);

    const plain = freshDir();
    await mkdir(join(plain, 'checkpoints'), { recursive: true });
    await assert.rejects(writeModelFolder(plain, tinyManifest, tinyModelFiles(), force), folderError(/not replaced/));
    assert.deepEqual(await readdir(plain), ['checkpoints']);
    await rm(plain, { recursive: true });

    const empty = freshDir();
    await mkdir(empty);
    await writeModelFolder(empty, tinyManifest, tinyModelFiles(), force);
    await openModelFolder(empty);
  });

  it('leave alone what comes to their place while they are written, with and without force', async () => {
    for (const force of [false, true]) {
      const dir = force ? await written() : freshDir();
      const thesis = join(dir, 'thesis.txt');
      const complete = async () => {
        await mkdir(dir, { recursive: true });
        await writeFile(thesis, 'mine');
        return {};
      };
      await assert.rejects(
        writeModelFolder(dir, { ...tinyManifest, version: '2' }, tinyModelFiles(), { force, complete }),
        folderError(force ? /not replaced/ : /exists already: it came into being while/),
      );
      assert.equal(await readFile(thesis, 'utf8'), 'mine');
      if (force) assert.equal((await openModelFolder(dir)).manifest.version, '1');
    }
    assert.deepEqual(
      (await readdir(parent)).filter((name) => !/^model-\d+$/.test(name)),
      [],
    );
  });

  it('are written to one place by one of two writers', async () => {
    const dir = freshDir();
    const complete = async () => {
      await writeModelFolder(dir, { ...tinyManifest, version: 'first' }, tinyModelFiles());
      return {};
    };
    const late = writeModelFolder(dir, { ...tinyManifest, version: 'late' }, tinyModelFiles(), { complete });
    await assert.rejects(late, folderError(/exists already/));
    assert.equal((await openModelFolder(dir)).manifest.version, 'first');
  });

  it('are rejected where a listed file is a folder', async () => {
    const dir = await written();
    await rm(join(dir, 'expander.onnx'));
    await mkdir(join(dir, 'expander.onnx'));
    await assert.rejects(openModelFolder(dir), folderError(/expander\.onnx is not a file/));
  });

  it('are not written from an invalid manifest', async () => {
    const dir = freshDir();
    await assert.rejects(writeModelFolder(dir, tinyManifest, new Map()), folderError(/backbone\.onnx is not listed/));
    const files = new Map([...tinyModelFiles(), ['../escape', new Uint8Array(1)]]);
    await assert.rejects(writeModelFolder(dir, tinyManifest, files), folderError(/plain file name/));
    await assert.rejects(openModelFolder(dir), folderError(/cannot read/));
  });
});
