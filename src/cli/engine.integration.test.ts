import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openModelFolder } from '../models/folder.js';
import { bundledModelFolder } from './defaults.js';
import { batchWorkers, startBatchEngine } from './engine.js';

const GIB = 2 ** 30;

it('an engine for many batches has a worker for each thread, up to four, as memory allows', () => {
  assert.equal(batchWorkers(1, 10e6, 64 * GIB), 1);
  assert.equal(batchWorkers(2, 10e6, 64 * GIB), 2);
  assert.equal(batchWorkers(6, 10e6, 64 * GIB), 3);
  assert.equal(batchWorkers(16, 10e6, 64 * GIB), 4);
  // Five GiB for each worker, of half the free memory.
  assert.equal(batchWorkers(16, 2 * GIB, 21 * GIB), 2);
  assert.equal(batchWorkers(16, 2 * GIB, 1 * GIB), 1);
});

it('no more than the requested threads are used', async () => {
  const folder = await openModelFolder(bundledModelFolder);
  const engine = await startBatchEngine(folder, { device: 'cpu', threads: 1 }, () => {});
  try {
    assert.equal(engine.status.workers.length, 1);
  } finally {
    await engine.close();
  }
});
