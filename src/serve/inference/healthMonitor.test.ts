import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { type Engine, EngineError, type EngineOutputs, type EngineStatus } from '../../engine/engine.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { tensor } from '../../tensor/tensor.js';
import { defaultServeLimits } from '../config/serveLimits.js';
import { createHealthMonitor } from './healthMonitor.js';
import { createModelRegistry } from './registry.js';

const manifest = (name: string, version = '1') => ({ ...tinyManifest, files: {}, name, version });
const limits = defaultServeLimits;
const logger = { info: () => {}, error: () => {} };

test('each model has its own state; the default model decides for the service', async () => {
  const [a, b] = [createFakeEngine({ manifest: manifest('a') }), createFakeEngine({ manifest: manifest('b') })];
  const models = createModelRegistry({ models: [{ engine: a }, { engine: b }], limits });
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

test('without a decode process no model is SERVING; one that starts is waited for', async () => {
  const models = createModelRegistry({
    models: [{ engine: createFakeEngine({ manifest: manifest('a') }) }],
    limits,
  });
  const states = new Map<string, boolean>();
  const status = createFakeEngine({ manifest: manifest('a') }).status;
  let state: EngineStatus['state'] = 'ready';
  let notify = (): void => {};
  const decoder = {
    get status() {
      return { ...status, state };
    },
    watch(listener: () => void) {
      notify = listener;
      return () => {};
    },
  };
  const report = (name: string, serving: boolean) => states.set(name, serving);
  const monitor = createHealthMonitor({ models, decoder, intervalMs: 60_000, timeoutMs: 60_000, report, logger });
  for (const [next, serving] of [
    ['degraded', true],
    ['recovering', true],
    ['down', false],
    ['recovering', true],
  ] as const) {
    state = next;
    notify();
    assert.deepEqual([states.get(''), states.get('a@1'), monitor.serving], [serving, serving, serving], next);
  }
  monitor.stop();
  await models.close();
});

/** An engine whose runs and load are controlled by the test. */
function scriptedEngine({ idle = 1 } = {}) {
  const fake = createFakeEngine({ manifest: manifest('a') });
  const listeners = new Set<() => void>();
  let runs: ((outcome: EngineOutputs | EngineError) => void)[] = [];
  const engine: Engine = {
    ...fake,
    get status() {
      return fake.status;
    },
    get idle() {
      return idle;
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    run: () =>
      new Promise((resolve, reject) => {
        runs.push((outcome) => (outcome instanceof EngineError ? reject(outcome) : resolve(outcome)));
      }),
  };
  return {
    engine,
    /** Runs that have not ended. */
    get waiting() {
      return runs.length;
    },
    /** Ends all runs. @returns when those who waited for them have been notified */
    async end(outcome: EngineOutputs | EngineError): Promise<void> {
      const ending = runs;
      runs = [];
      for (const run of ending) run(outcome);
      await turn();
    },
    /** Its worker is lost and has been replaced. */
    async replace(): Promise<void> {
      fake.kill(1, 'gone');
      await fake.revive();
      this.free();
    },
    /** A worker becomes idle, and takes the waiting run. */
    free(): void {
      for (const listener of listeners) listener();
    },
  };
}

const answer = (value: number): EngineOutputs => ({
  representation: tensor('float32', [1, 1], Float32Array.of(value)),
});
const well = answer(1);

/** A monitor of one model with a clock that the test controls. */
function watchOne(t: TestContext, engine: Engine) {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  const models = createModelRegistry({ models: [{ engine }], limits });
  const monitor = createHealthMonitor({ models, intervalMs: 1000, timeoutMs: 600, report: () => {}, logger });
  t.after(() => monitor.stop());
  return { monitor, pass: (ms: number) => t.mock.timers.tick(ms) };
}

test('a canary that fails, or does not end in time, is NOT_SERVING until one succeeds', async (t) => {
  const scripted = scriptedEngine();
  const { monitor, pass } = watchOne(t, scripted.engine);
  for (const illness of [new EngineError('internal', 'no such kernel'), answer(Number.NaN)]) {
    pass(1000);
    await scripted.end(illness);
    assert.equal(monitor.serving, false);
    pass(1000);
    await scripted.end(well);
    assert.equal(monitor.serving, true);
  }
  pass(1000);
  assert.equal(monitor.serving, true);
  pass(600);
  assert.equal(monitor.serving, false, 'it has not come back');
  pass(10_000);
  assert.equal(scripted.waiting, 1, 'others would wait behind it');
  await scripted.end(well);
  assert.equal(monitor.serving, true);
});

test('a busy model is also checked: failure under load is noticed, and so is recovery', async (t) => {
  const scripted = scriptedEngine({ idle: 0 });
  const { monitor, pass } = watchOne(t, scripted.engine);
  for (const illness of [new EngineError('out_of_memory', 'memory ran out'), answer(Number.NaN)]) {
    pass(1000);
    await scripted.end(illness);
    assert.equal(monitor.serving, false);
    pass(1000);
    await scripted.end(well);
    assert.equal(monitor.serving, true);
  }
});

test('a canary is not late while it waits for a worker, but is if its worker does not answer', async (t) => {
  const scripted = scriptedEngine({ idle: 0 });
  const { monitor, pass } = watchOne(t, scripted.engine);
  pass(1000);
  assert.equal(scripted.waiting, 1);
  pass(60_000);
  assert.equal(monitor.serving, true);
  scripted.free();
  pass(599);
  assert.equal(monitor.serving, true);
  pass(1);
  assert.equal(monitor.serving, false);
});

test('if a worker is lost with the canary, the engine decides the state', async (t) => {
  const scripted = scriptedEngine();
  const { monitor, pass } = watchOne(t, scripted.engine);
  const lost = new EngineError('unavailable', 'the inference worker ended (signal SIGKILL)');
  pass(1000);
  await scripted.end(lost);
  assert.equal(monitor.serving, true);
  pass(1000);
  await scripted.end(new EngineError('internal', 'no such kernel'));
  pass(1000);
  await scripted.end(lost);
  assert.equal(monitor.serving, false, 'nor does it make an unhealthy model healthy');
});

test('an unhealthy model whose worker was replaced is checked immediately, and a healthy one is not', async (t) => {
  const scripted = scriptedEngine();
  const { monitor, pass } = watchOne(t, scripted.engine);
  await scripted.replace();
  assert.equal(scripted.waiting, 0);
  pass(1000);
  await scripted.end(new EngineError('internal', 'an illegal memory access'));
  scripted.free();
  assert.deepEqual([monitor.serving, scripted.waiting], [false, 0]);
  await scripted.replace();
  assert.equal(scripted.waiting, 1);
  await scripted.end(well);
  assert.equal(monitor.serving, true);
});

test('a reloaded model is checked in place of the old one, and a removed version is not SERVING', async () => {
  const second = createFakeEngine({ manifest: manifest('a', '2') });
  const sources = [{ engine: createFakeEngine({ manifest: manifest('a') }), reopen: async () => second }];
  const models = createModelRegistry({ models: sources, limits });
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
