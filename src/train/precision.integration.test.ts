import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runRecords } from '../../test/support/runRecords.js';
import { tinyConfig, trainTiny, trainUntil, writePhotographs } from '../../test/support/tinyRun.js';
import { encodeModel } from '../onnx/encode.js';
import { Graph } from '../onnx/graph.js';
import { gemm } from '../onnx/ops/linear.js';
import { createSession } from '../onnx/session.js';
import { loadCheckpoint } from './checkpoint.js';
import { dryRun } from './dryRun/dryRun.js';
import { INITIAL_SCALE } from './lossScale.js';
import { readRunConfig } from './runFolder.js';
import type { StepRecord } from './runLog.js';

let root: string;
let photographs: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-precision-'));
  photographs = join(root, 'photographs');
  await writePhotographs(
    photographs,
    Array.from({ length: 9 }, (_, i) => `${i}.jpg`),
  );
});
after(() => rm(root, { recursive: true }));

let runs = 0;
const newRun = () => join(root, `run-${runs++}`);
/** 12 steps, of which the first have gradients that are too large for the first scale of the loss, by the weights of its terms. */
const config = (keys: Readonly<Record<string, unknown>> = {}) =>
  tinyConfig(photographs, {
    ...{ epochs: 6, checkpoints: { every: 2, keep: 3 }, precision: 'fp16' },
    loss: { alpha: 0.75, numMatches: [3, 2], invariance: 200, variance: 200, covariance: 8 }, // 8 times the defaults
    ...keys,
  });

async function outcome(run: string) {
  const log = (await runRecords(run)).map((record): object => ({ ...record, images_per_s: 0, wait_share: 0 }));
  return { log, tensors: (await loadCheckpoint(run)).tensors };
}

describe('a run in fp16', () => {
  it('reports overflows to the user and in the log, and resumes with the scale that it had', async () => {
    const [whole, stopped] = [newRun(), newRun()];
    const notes: string[] = [];
    await trainTiny(whole, config(), { progress: { note: (text) => notes.push(text) } });
    const { log, tensors } = await outcome(whole);
    const overflows = log.filter((record) => (record as StepRecord)['overflow'] === 1) as StepRecord[];
    assert.ok(overflows.length >= 2 && overflows.length < 10, `${overflows.length}`);
    assert.deepEqual(
      overflows.map(({ loss_scale }) => loss_scale),
      overflows.map((_, i) => INITIAL_SCALE / 2 ** i),
    );
    for (const { step, loss_scale, grad_norm } of overflows) {
      assert.equal(grad_norm, undefined);
      assert.ok(
        notes.some((note) =>
          note.startsWith(`step ${step}: gradients overflowed float16 at a loss scale of ${loss_scale}`),
        ),
      );
    }
    assert.equal(tensors.get('loss_scale/value')!.data[0], INITIAL_SCALE / 2 ** overflows.length);
    assert.match(notes.find((note) => note.startsWith('warning'))!, /precision is fp16 on the CPU/);

    await trainUntil(stopped, config(), 4);
    await trainTiny(stopped, await readRunConfig(stopped), { resume: true });
    assert.deepEqual(await outcome(stopped), { log, tensors });
  });

  it('goes on from a run in another precision, with the scale of a new run', async () => {
    const run = newRun();
    await trainUntil(run, config({ precision: 'fp32' }), 2);
    assert.equal((await loadCheckpoint(run)).tensors.has('loss_scale/value'), false);
    await trainUntil(run, config(), 3, true);
    const { step, tensors } = await loadCheckpoint(run);
    assert.deepEqual([step, tensors.get('loss_scale/value')!.data[0]], [3, INITIAL_SCALE / 2]);
  });
});

describe('bf16 on the CPU', () => {
  it('is refused before the run folder is made, and by a dry run', async () => {
    const [run, report] = [newRun(), newRun()];
    const refused = { name: 'ConfigError', message: /no bfloat16 kernels of MatMul and Gemm; set precision to fp32/ };
    await assert.rejects(trainTiny(run, config({ precision: 'bf16' })), refused);
    await assert.rejects(dryRun(config({ precision: 'bf16' }), report), refused);
    assert.ok(!existsSync(run) && !existsSync(report));
  });

  it('has no kernels: if this fails, ONNX Runtime has them, and src/train/precision.ts must know', async () => {
    const graph = new Graph();
    const [a, b] = ['a', 'b'].map((name) => graph.input(name, 'float32', [2, 2]));
    graph.output(
      'y',
      graph.productsIn('bfloat16', () => gemm(a!, b!)),
    );
    await assert.rejects(createSession(encodeModel(graph)), /Could not find an implementation for Gemm/);
  });
});
