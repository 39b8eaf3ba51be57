import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { encodeSafetensors } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import {
  listCheckpoints,
  loadCheckpoint,
  readCheckpointIndex,
  type Score,
  saveCheckpoint,
  setCheckpointAside,
  setLaterCheckpointsAside,
} from './checkpoint.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'vicregl-checkpoint-'));
});
afterEach(() => rm(run, { recursive: true }));

const weights = (value: number): ReadonlyMap<string, Tensor> =>
  new Map([['w', tensor('float32', [2], Float32Array.of(value, -value))]]);
const path = (step: number) => join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}.safetensors`);

describe('checkpoints', () => {
  it('are read back with step, seed and tensors', async () => {
    assert.equal(await saveCheckpoint(run, { step: 7, seed: 3, data: 'photos', tensors: weights(1.5) }, 2), path(7));
    assert.deepEqual(await loadCheckpoint(run), { step: 7, seed: 3, data: 'photos', tensors: weights(1.5) });
  });

  it('are removed except for the newest, ordered by number and not by name', async () => {
    for (const step of [9, 10, 100_000_000 - 1]) {
      await saveCheckpoint(run, { step, seed: 0, data: 'photos', tensors: weights(step) }, 2);
    }
    assert.deepEqual(await listCheckpoints(run), [10, 99_999_999]);
    assert.equal((await loadCheckpoint(run)).step, 99_999_999);
  });

  it('ignore other files in their folder', async () => {
    await saveCheckpoint(run, { step: 5, seed: 0, data: 'photos', tensors: weights(5) }, 2);
    for (const name of ['step-00000009.safetensors.1234', 'step-9.safetensors', 'notes.txt']) {
      await writeFile(join(run, 'checkpoints', name), 'x');
    }
    assert.deepEqual(await listCheckpoints(run), [5]);
  });

  it('survive a failed write: the previous one remains the newest', async () => {
    await saveCheckpoint(run, { step: 1, seed: 0, data: 'photos', tensors: weights(1) }, 1);
    const before = await readFile(path(1));
    await mkdir(path(2)); // a folder in its place: the rename at the end of the write fails
    await assert.rejects(saveCheckpoint(run, { step: 2, seed: 0, data: 'photos', tensors: weights(2) }, 1), {
      name: 'CheckpointError',
      message:
        /^the checkpoint of step 2 cannot be written: .*; that of step 1 is whole\. Make room .* go on with --resume$/,
    });
    assert.deepEqual(await readdir(join(run, 'checkpoints')), [
      'index.json',
      'step-00000001.safetensors',
      'step-00000002.safetensors',
    ]);
    await rm(path(2), { recursive: true });
    assert.deepEqual(await readFile(path(1)), before);
    assert.equal((await loadCheckpoint(run)).step, 1);
  });

  it('that are damaged are an error with the reason and the newest intact one before, and are never skipped silently', async () => {
    for (const step of [1, 2, 3])
      await saveCheckpoint(run, { step, seed: 0, data: 'photos', tensors: weights(step) }, 9);
    const whole = await readFile(path(3));
    const moments = (value: number) =>
      new Map([...weights(3), ['exp_avg_sq/w', tensor('float32', [2], Float32Array.of(1, value))]]);
    const damages: [Uint8Array, RegExp][] = [
      [whole.subarray(0, -4), /: .*is it truncated\?|: .*bytes/],
      [new Uint8Array(0), /: /],
      [
        encodeSafetensors(moments(Number.NaN), { step: '3', seed: '0' }),
        /: exp_avg_sq\/w holds NaN \(element 1\); the file is damaged/,
      ],
      [
        encodeSafetensors(moments(-Infinity), { step: '3', seed: '0' }),
        /: exp_avg_sq\/w holds -Infinity \(element 1\)/,
      ],
      [
        encodeSafetensors(weights(3), { step: '3', seed: '0', config: '{' }),
        /: the configuration in its metadata is not JSON/,
      ],
      [encodeSafetensors(weights(3), { step: '2', seed: '0' }), /names step 2 .* not step 3/],
    ];
    for (const [bytes, what] of damages) {
      await writeFile(path(3), bytes);
      await assert.rejects(loadCheckpoint(run), (error: Error) => {
        assert.equal(error.name, 'CheckpointError');
        assert.ok(error.message.startsWith(path(3)), error.message);
        assert.match(error.message, what);
        assert.match(error.message, /\. The checkpoint of step 2 is whole: choose it with --checkpoint 2$/);
        return true;
      });
      assert.equal((await loadCheckpoint(run, 2)).step, 2);
    }
    await writeFile(path(2), 'no checkpoint');
    await assert.rejects(loadCheckpoint(run), /step 1 is whole: choose it with --checkpoint 1$/);
    await assert.rejects(loadCheckpoint(run, 2), /00000002.*step 1 is whole/);
    await writeFile(path(1), 'no checkpoint');
    await assert.rejects(loadCheckpoint(run), /no other checkpoint that is whole: start another run$/);
  });

  it('contain the given configuration', async () => {
    const config = { name: 'a', loss: { alpha: 0.75 }, crops: { scale: [0.4, 1] } };
    await saveCheckpoint(run, { step: 1, seed: 0, data: 'photos', config, tensors: weights(1) }, 2);
    assert.deepEqual((await loadCheckpoint(run)).config, config);
  });

  it('whose metadata names another step are rejected', async () => {
    await mkdir(join(run, 'checkpoints'));
    for (const metadata of [{ step: '3', seed: '0' }, { step: '2' }, {}]) {
      await writeFile(path(2), encodeSafetensors(weights(1), metadata));
      await assert.rejects(loadCheckpoint(run), { name: 'CheckpointError', message: /00000002.* not step 2/ });
    }
  });

  it('that a run does not have are an error that names the run folder', async () => {
    await assert.rejects(loadCheckpoint(run), {
      name: 'CheckpointError',
      message: `${run} has no checkpoint under checkpoints/; nothing to resume or export`,
    });
  });

  it('that are set aside remain on disk but are no longer resumed from', async () => {
    await saveCheckpoint(run, { step: 1, seed: 0, data: 'photos', tensors: weights(1) }, 2);
    await saveCheckpoint(run, { step: 2, seed: 0, data: 'photos', tensors: weights(2) }, 2);
    await setCheckpointAside(run, 2);
    assert.equal((await loadCheckpoint(run)).step, 1);
    assert.ok((await readdir(join(run, 'checkpoints'))).includes('step-00000002.safetensors.diverged'));
  });

  describe('the best checkpoint', () => {
    const save = (step: number, value?: number, score: Partial<Score> = {}) =>
      saveCheckpoint(
        run,
        { step, seed: 0, data: 'photos', tensors: weights(step) },
        2,
        value === undefined ? undefined : { metric: 'l', mode: 'min', value, ...score },
      );

    it('is kept in addition to the newest ones, and named in the index', async () => {
      for (const [step, value] of [
        [1, 5],
        [2, 3],
        [3, 4],
        [4, 3],
        [5, 6],
      ] as const) {
        await save(step, value);
      }
      assert.deepEqual(await listCheckpoints(run), [2, 4, 5]);
      assert.deepEqual(JSON.parse(await readFile(join(run, 'checkpoints/index.json'), 'utf8')), {
        latest: 5,
        best: { step: 2, metric: 'l', mode: 'min', value: 3 },
      });
      assert.equal((await loadCheckpoint(run, 'best')).step, 2);
      assert.equal((await loadCheckpoint(run, 4)).step, 4);
      await save(6, 2);
      assert.deepEqual(await listCheckpoints(run), [5, 6]);
    });

    it('has the largest value if the mode is max', async () => {
      const max = { metric: 'knn_top1', mode: 'max' } as const;
      for (const [step, value] of [0.1, 0.3, 0.2].entries()) await save(step, value, max);
      assert.equal((await readCheckpointIndex(run)).best?.step, 1);
    });

    it('does not change if a checkpoint has no score, and is reset by another metric', async () => {
      await save(1, 5);
      await save(2);
      assert.equal((await readCheckpointIndex(run)).best?.step, 1);
      await save(3, 9, { metric: 'stdr' });
      assert.deepEqual((await readCheckpointIndex(run)).best, { step: 3, metric: 'stdr', mode: 'min', value: 9 });
    });

    it('is an error if none was scored, as is a step without a checkpoint', async () => {
      await save(1);
      await assert.rejects(loadCheckpoint(run, 'best'), { name: 'CheckpointError', message: /has no best checkpoint/ });
      await assert.rejects(loadCheckpoint(run, 7), /has no checkpoint of step 7; it has 1$/);
    });

    it('is not later than the step to which the run went back', async () => {
      await save(1, 5);
      await save(2, 3);
      await setLaterCheckpointsAside(run, 1);
      assert.deepEqual(await readCheckpointIndex(run), { latest: 1 });
      assert.ok((await readdir(join(run, 'checkpoints'))).includes('step-00000002.safetensors.superseded'));
      await save(2, 4);
      assert.deepEqual((await readCheckpointIndex(run)).best?.value, 4);
    });
  });

  it('are found without their index', async () => {
    await saveCheckpoint(run, { step: 3, seed: 0, data: 'photos', tensors: weights(3) }, 2);
    for (const text of ['{"latest":', '{"latest":9,"best":{"step":9,"metric":"l","mode":"min","value":1}}']) {
      await writeFile(join(run, 'checkpoints/index.json'), text);
      assert.deepEqual(await readCheckpointIndex(run), { latest: 3 });
    }
  });
});
