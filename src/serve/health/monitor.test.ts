import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { registryParts } from '../../../test/support/registryParts.js';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { EngineError } from '../../engine/engine.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { createModelRegistry } from '../models/registry.js';
import { createHealthMonitor } from './monitor.js';

const manifest = (name: string, version = '1') => ({ ...tinyManifest, files: {}, name, version });
const shared = registryParts();
const logger = { info: () => {}, error: () => {} };

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(1);
}

test('each model has a state of its own; the default decides for the service', async () => {
  const [a, b] = [createFakeEngine({ manifest: manifest('a') }), createFakeEngine({ manifest: manifest('b') })];
  const models = createModelRegistry({ models: [{ engine: a }, { engine: b }], ...shared });
  const states = new Map<string, boolean>();
  const report = (name: string, serving: boolean) => states.set(name, serving);
  const monitor = createHealthMonitor({ models, intervalMs: 60_000, timeoutMs: 60_000, report, logger });
  assert.deepEqual(
    [...states].sort(),
    ['', 'a', 'a@1', 'b', 'b@1'].map((name) => [name, true]),
  );
  b.kill(1, 'gone');
  assert.deepEqual([states.get(''), states.get('a'), states.get('b@1')], [true, true, false]);
  a.kill(1, 'gone');
  assert.deepEqual([monitor.serving, states.get('')], [false, false]);
  a.revive();
  assert.equal(monitor.serving, true);
  monitor.stop();
  assert.deepEqual(new Set(states.values()), new Set([false]));
  await models.close();
});

test('a canary that fails, or does not come back, is NOT_SERVING until one is well', async () => {
  let mode: 'well' | 'failing' | 'hanging' = 'well';
  const fake = createFakeEngine({ manifest: manifest('a') });
  const engine = {
    ...fake,
    get status() {
      return fake.status;
    },
    get idle() {
      return fake.idle;
    },
    run: (...args: Parameters<typeof fake.run>) =>
      mode === 'hanging'
        ? new Promise<never>(() => {})
        : mode === 'failing'
          ? Promise.reject(new EngineError('internal', 'no such kernel'))
          : fake.run(...args),
  };
  const models = createModelRegistry({ models: [{ engine }], ...shared });
  const monitor = createHealthMonitor({ models, intervalMs: 2, timeoutMs: 20, report: () => {}, logger });
  for (const illness of ['failing', 'hanging'] as const) {
    mode = illness;
    await until(() => !monitor.serving);
    mode = 'well';
    await until(() => monitor.serving);
  }
  monitor.stop();
  await models.close();
});

test('a reloaded model is watched in place of the old one, and a version that is gone does not serve', async () => {
  const second = createFakeEngine({ manifest: manifest('a', '2') });
  const sources = [{ engine: createFakeEngine({ manifest: manifest('a') }), reopen: async () => second }];
  const models = createModelRegistry({ models: sources, ...shared });
  const states = new Map<string, boolean>();
  const report = (name: string, serving: boolean) => states.set(name, serving);
  const monitor = createHealthMonitor({ models, intervalMs: 60_000, timeoutMs: 60_000, report, logger });
  await models.reload('a');
  assert.deepEqual([states.get('a@1'), states.get('a@2'), states.get('a')], [false, true, true]);
  second.kill(1, 'gone');
  assert.equal(monitor.serving, false);
  monitor.stop();
  await models.close();
});
