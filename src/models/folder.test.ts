import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tinyManifest, tinyModelFiles } from '../../test/support/tinyModel.js';
import { openModelFolder, writeModelFolder } from './folder.js';

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
    const manifest = { ...tinyManifest, dims: { representation }, graphs: { backbone: 'backbone.onnx' } };
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

  it('are not written from an invalid manifest', async () => {
    const dir = freshDir();
    await assert.rejects(writeModelFolder(dir, tinyManifest, new Map()), folderError(/backbone\.onnx is not listed/));
    const files = new Map([...tinyModelFiles(), ['../escape', new Uint8Array(1)]]);
    await assert.rejects(writeModelFolder(dir, tinyManifest, files), folderError(/plain file name/));
    await assert.rejects(openModelFolder(dir), folderError(/cannot read/));
  });
});
