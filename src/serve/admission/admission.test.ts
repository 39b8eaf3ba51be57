import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { createAdmission } from './admission.js';

test('every budget and gate has its own limit, and rejects with its name', async () => {
  const limits = {
    ...{ requestBytes: 11, responseBytes: 12, mapBytes: 13 },
    ...{ decodeConcurrency: 2, queueImages: 3, queueMatches: 4, queueReductions: 5 },
  };
  const engines = [1, 3].map((workers) => createFakeEngine({ manifest: { ...tinyManifest, files: {} }, workers }));
  const admission = createAdmission(limits, engines);
  for (const name of ['requestBytes', 'responseBytes', 'mapBytes'] as const) {
    admission[name].tryAcquire(limits[name]);
    assert.throws(() => admission[name].tryAcquire(1), { limit: { name, value: limits[name] } });
  }
  const call = { signal: new AbortController().signal, observe: () => {} };
  const gates = {
    decoding: [2, 'queueImages'],
    matching: [3, 'queueMatches'],
    reducing: [1, 'queueReductions'],
  } as const;
  for (const [gate, [concurrency, name]] of Object.entries(gates)) {
    let end = (): void => {};
    const held = new Promise<void>((resolve) => {
      end = resolve;
    });
    let running = 0;
    const { run } = admission[gate as keyof typeof gates];
    const work = () => {
      running++;
      return held;
    };
    const first = Array.from({ length: concurrency }, () => run(call, work));
    await new Promise(setImmediate);
    const others = Array.from({ length: limits[name] }, () => run(call, work));
    await assert.rejects(run(call, work), { code: 'overloaded', limit: { name, value: limits[name] } });
    assert.equal(running, concurrency, gate);
    end();
    await Promise.all([...first, ...others]);
  }
});
