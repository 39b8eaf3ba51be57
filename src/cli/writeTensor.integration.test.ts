import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstat, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseSafetensors } from '../tensor/safetensors.js';
import { tensor } from '../tensor/tensor.js';
import { writeTensor } from './writeTensor.js';

const value = tensor('float32', [2], Float32Array.of(1, 2));
const formats = ['safetensors', 'npy', 'json'];

describe('a tensor', () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-tensor-'));
  });
  after(() => rm(scratch, { recursive: true }));

  it('is written where a symbolic link leads, in every format', async () => {
    for (const format of formats) {
      const [target, link] = [join(scratch, `target.${format}`), join(scratch, `link.${format}`)];
      await writeFile(target, 'before');
      await symlink(target, link);
      await writeTensor(link, 'embedding', value, { shape: [2] });
      assert.ok((await lstat(link)).isSymbolicLink(), format);
      assert.notEqual(await readFile(target, 'utf8'), 'before', format);
    }
    const { tensors, metadata } = parseSafetensors(await readFile(join(scratch, 'target.safetensors')));
    assert.deepEqual([...(tensors.get('embedding')!.data as Float32Array)], [1, 2]);
    assert.deepEqual(metadata, { summary: '{"shape":[2]}' });
  });

  it('is written into a pipe, which stays one', async () => {
    const pipe = join(scratch, 'pipe.safetensors');
    execFileSync('mkfifo', [pipe]);
    const [bytes] = await Promise.all([readFile(pipe), writeTensor(pipe, 'embedding', value, {})]);
    assert.deepEqual([...(parseSafetensors(bytes).tensors.get('embedding')!.data as Float32Array)], [1, 2]);
    assert.ok((await stat(pipe)).isFIFO());
  });
});
