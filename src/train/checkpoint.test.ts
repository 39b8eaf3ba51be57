import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { encodeSafetensors } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { listCheckpoints, loadLatestCheckpoint, saveCheckpoint, setCheckpointAside } from './checkpoint.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'vicregl-checkpoint-'));
});
afterEach(() => rm(run, { recursive: true }));

const weights = (value: number): ReadonlyMap<string, Tensor> =>
  new Map([['w', tensor('float32', [2], Float32Array.of(value, -value))]]);
const path = (step: number) => join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`);

describe('checkpoints', () => {
  it('come back with step, seed and tensors', async () => {
    assert.equal(await saveCheckpoint(run, { step: 7, seed: 3, data: 'photos', tensors: weights(1.5) }, 2), path(7));
    assert.deepEqual(await loadLatestCheckpoint(run), { step: 7, seed: 3, data: 'photos', tensors: weights(1.5) });
  });

  it('keep the newest ones only, by number and not by name', async () => {
    for (const step of [9, 10, 100_000_000 - 1]) {
      await saveCheckpoint(run, { step, seed: 0, data: 'photos', tensors: weights(step) }, 2);
    }
    assert.deepEqual(await listCheckpoints(run), [10, 99_999_999]);
    assert.equal((await loadLatestCheckpoint(run)).step, 99_999_999);
  });

  it('ignore other files in their folder', async () => {
    await saveCheckpoint(run, { step: 5, seed: 0, data: 'photos', tensors: weights(5) }, 2);
    for (const name of ['step-00000009.safetensors.1234', 'step-9.safetensors', 'notes.txt']) {
      await writeFile(join(run, 'checkpoints', name), 'x');
    }
    assert.deepEqual(await listCheckpoints(run), [5]);
  });

  it('survive a write that fails: the one before stays and is the newest', async () => {
    await saveCheckpoint(run, { step: 1, seed: 0, data: 'photos', tensors: weights(1) }, 1);
    const before = await readFile(path(1));
    await mkdir(path(2)); // a folder in its place: the rename at the end of the write fails
    await assert.rejects(saveCheckpoint(run, { step: 2, seed: 0, data: 'photos', tensors: weights(2) }, 1));
    assert.deepEqual(await readdir(join(run, 'checkpoints')), [
      'step-00000001.safetensors',
      'step-00000002.safetensors',
    ]);
    await rm(path(2), { recursive: true });
    assert.deepEqual(await readFile(path(1)), before);
    assert.equal((await loadLatestCheckpoint(run)).step, 1);
  });

  it('that are cut short are named, never skipped in silence', async () => {
    await saveCheckpoint(run, { step: 1, seed: 0, data: 'photos', tensors: weights(1) }, 2);
    await saveCheckpoint(run, { step: 2, seed: 0, data: 'photos', tensors: weights(2) }, 2);
    await writeFile(path(2), (await readFile(path(2))).subarray(0, -4));
    await assert.rejects(loadLatestCheckpoint(run), (error: Error) => {
      assert.equal(error.name, 'SafetensorsError');
      assert.ok(error.message.startsWith(`${path(2)}: `), error.message);
      return true;
    });
  });

  it('whose metadata names another step are refused', async () => {
    await mkdir(join(run, 'checkpoints'));
    for (const metadata of [{ step: '3', seed: '0' }, { step: '2' }, {}]) {
      await writeFile(path(2), encodeSafetensors(weights(1), metadata));
      await assert.rejects(loadLatestCheckpoint(run), { name: 'CheckpointError', message: /00000002.* not step 2/ });
    }
  });

  it('are asked for by name where a run has none', async () => {
    await assert.rejects(loadLatestCheckpoint(run), {
      name: 'CheckpointError',
      message: `${run} has no checkpoint under checkpoints/; nothing to resume or export`,
    });
  });

  it('that are set aside stay on the disk but are resumed from no more', async () => {
    await saveCheckpoint(run, { step: 1, seed: 0, data: 'photos', tensors: weights(1) }, 2);
    await saveCheckpoint(run, { step: 2, seed: 0, data: 'photos', tensors: weights(2) }, 2);
    await setCheckpointAside(run, 2);
    assert.equal((await loadLatestCheckpoint(run)).step, 1);
    assert.ok((await readdir(join(run, 'checkpoints'))).includes('step-00000002.safetensors.diverged'));
  });
});
