import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { until } from '../../../test/support/until.js';
import { EngineError } from '../../engine/engine.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { defaultServeLimits } from '../config/serveLimits.js';
import { createModelRegistry, modelLabel } from './registry.js';

const engine = (name: string, version: string) =>
  createFakeEngine({ manifest: { ...tinyManifest, files: {}, name, version } });
const limits = defaultServeLimits;
const versionOf = async ({ engine: { manifest } }: { engine: { manifest: { name: string; version: string } } }) =>
  `${manifest.name}@${manifest.version}`;

test('requests name a model by name, by name and version, or not at all', async () => {
  const engines = [engine('atto', '2'), engine('atto', '1'), engine('resnet', '1')];
  const models = createModelRegistry({ models: engines.map((each) => ({ engine: each })), limits });
  assert.equal(await models.use('', versionOf), 'atto@2');
  assert.equal(await models.use('atto', versionOf), 'atto@2');
  assert.equal(await models.use('atto@1', versionOf), 'atto@1');
  assert.equal(await models.use('resnet', versionOf), 'resnet@1');
  await assert.rejects(models.use('resnet@2', versionOf), {
    code: 'unknown_model',
    message: /"resnet@2" is not served here; use "atto@2", "atto@1", "resnet@1".*empty for atto@2/,
  });
  await models.close();
});

test('a close does not wait for a hanging reload once it is terminated', async () => {
  const models = createModelRegistry({
    models: [{ engine: engine('atto', '1'), reopen: () => new Promise(() => {}) }],
    limits,
  });
  void models.reload('atto');
  await turn();
  let closed = false;
  const closing = models.close().then(() => {
    closed = true;
  });
  await turn();
  assert.equal(closed, false);
  models.terminate();
  await closing;
});

test('the registry is full when every queue is', async () => {
  const models = createModelRegistry({
    models: [{ engine: engine('atto', '1') }, { engine: engine('resnet', '1') }],
    limits: { ...limits, queueImages: 1 },
  });
  const [atto, resnet] = models.served;
  const call = { signal: new AbortController().signal, observe: () => {} };
  const codeOf = () => models.full?.code;
  const places = [atto!.queue.reserve(call)];
  assert.equal(codeOf(), undefined, 'the other one has room');
  places.push(resnet!.queue.reserve(call));
  assert.equal(codeOf(), 'overloaded');
  for (const place of places) place.release();
  assert.equal(codeOf(), undefined);
  await models.close();
});

test('a duplicate name and version, or no model, is rejected', () => {
  const engines = [engine('atto', '1'), engine('atto', '1')];
  assert.throws(() => createModelRegistry({ models: engines.map((each) => ({ engine: each })), limits }), {
    message: /atto@1 is given twice/,
  });
  assert.throws(() => createModelRegistry({ models: [], limits }), { message: /no model is given/ });
});

test('a reload under load fails no request, and the old engine closes when its last request is answered', async () => {
  const old = createFakeEngine({ manifest: { ...tinyManifest, files: {}, version: '1' }, delayMs: 2 });
  let oldClosed = false;
  const close = async (): Promise<void> => {
    oldClosed = true;
  };
  const first = { ...old, close };
  const models = createModelRegistry({
    models: [{ engine: first, reopen: async () => engine('tiny', '2') }],
    limits,
  });
  const changes: string[] = [];
  models.watch(() => changes.push(models.served.map(({ engine: { manifest } }) => manifest.version).join()));
  const image = { width: 8, height: 8, data: new Uint8Array(192) };
  const call = { signal: new AbortController().signal, observe: () => {} };
  const versions: string[] = [];
  let on = true;
  const client = async (): Promise<void> => {
    while (on) {
      await models.use('tiny', async ({ queue, engine: { manifest } }) => {
        await turn();
        await queue.run(image, new Set(['representation'] as const), call);
        versions.push(manifest.version);
      });
    }
  };
  const clients = Array.from({ length: 8 }, client);
  let release = (): void => {};
  const held = models.use('', async ({ queue }) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    // Long after the reload, its model still answers.
    return queue.run(image, new Set(['representation'] as const), call);
  });
  await until(() => versions.length >= 20);
  const [one, two] = await Promise.all([models.reload('tiny@1'), models.reload('')]);
  assert.deepEqual(one, { from: 'tiny@1', to: 'tiny@2' });
  assert.equal(one, two, 'two concurrent reloads are one');
  await until(() => versions.includes('2'));
  on = false;
  await Promise.all(clients);
  assert.equal(oldClosed, false);
  release();
  assert.ok((await held).representation);
  await models.close();
  assert.equal(oldClosed, true);
  assert.deepEqual(changes, ['2']);
});

test('a replaced engine is retired after the last request that uses it is answered, and before it is closed', async () => {
  const events: string[] = [];
  const old = { ...engine('atto', '1'), close: async () => void events.push('closed') };
  const models = createModelRegistry({
    limits,
    models: [{ engine: old, reopen: async () => engine('atto', '1') }, { engine: engine('resnet', '1') }],
    onRetired: (retired) => events.push(retired === old ? 'retired' : 'another was retired'),
  });
  await models.use('atto', async () => {
    await models.reload('atto');
    events.push('answered');
  });
  await models.close();
  assert.deepEqual(
    events,
    ['answered', 'retired', 'closed'],
    'engines that are closed with the service are not retired',
  );
});

test('an unusable model does not replace the old one', async () => {
  let closed = 0;
  const broken = createFakeEngine({
    manifest: { ...tinyManifest, files: {}, version: '2' },
    failWith: () => new EngineError('internal', 'no such kernel'),
  });
  const sources = [
    { engine: engine('a', '1'), reopen: async () => ({ ...broken, close: async () => void closed++ }) },
    { engine: engine('b', '1'), reopen: async () => engine('a', '1') },
    { engine: engine('c', '1') },
  ];
  const models = createModelRegistry({ models: sources, limits });
  await assert.rejects(models.reload('a'), { message: 'no such kernel' });
  assert.equal(closed, 1);
  await assert.rejects(models.reload('b'), { message: /folder of b@1 now holds a@1, which is served already/ });
  await assert.rejects(models.reload('c'), { message: /c@1 cannot be reloaded/ });
  await assert.rejects(models.reload('d'), { code: 'unknown_model' });
  assert.deepEqual(await Promise.all(['a', 'b', 'c'].map((name) => models.use(name, versionOf))), [
    'a@1',
    'b@1',
    'c@1',
  ]);
  await models.close();
});

test('an unknown name is repeated in part, however long it is', async () => {
  const models = createModelRegistry({ models: [{ engine: engine('atto', '1') }], limits });
  await assert.rejects(models.use('m'.repeat(1_000_000), versionOf), {
    code: 'unknown_model',
    message: /^model: "m{100}" is not served here; use "atto@1",/,
  });
  await models.close();
});

/** An engine whose warm-up lasts until `free` is called. @param onClose called when it is closed */
function slowToWarm(name: string, version: string, onClose: () => void) {
  let free = (): void => {};
  const freed = new Promise<void>((resolve) => {
    free = resolve;
  });
  let begun = (): void => {};
  const warming = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const made = engine(name, version);
  const slow: typeof made = {
    ...made,
    async warm(...given) {
      begun();
      await freed;
      return made.warm(...given);
    },
    async close() {
      onClose();
      await made.close();
    },
  };
  return { open: async () => slow, warming, free: () => free() };
}

const labelsOf = ({ served }: ReturnType<typeof createModelRegistry>) => served.map(modelLabel);

/** The models a and b, of which b was removed while its reload warms up. `closed`: how many new engines were closed. */
async function removedWhileReloaded() {
  let closed = 0;
  const slow = slowToWarm('b', '2', () => closed++);
  const models = createModelRegistry({
    models: [{ engine: engine('a', '1') }, { engine: engine('b', '1'), reopen: slow.open }],
    limits,
  });
  const reloading = models.reload('b');
  await slow.warming;
  models.remove('b');
  return { models, reloading, free: slow.free, closed: () => closed };
}

test('a model that is removed while it is reloaded does not come back, and its new engine is closed', async () => {
  const { models, reloading, free, closed } = await removedWhileReloaded();
  free();
  await assert.rejects(reloading, { code: 'invalid_argument', message: /b@1 was removed while it was reloaded/ });
  assert.deepEqual([labelsOf(models), closed()], [['a@1'], 1]);
  await models.close();
});

test('a name that is taken during the warm-up is not served twice', async () => {
  let closed = 0;
  const reloaded = slowToWarm('c', '1', () => closed++);
  const added = slowToWarm('c', '1', () => closed++);
  const models = createModelRegistry({
    models: [{ engine: engine('a', '1') }, { engine: engine('b', '1'), reopen: reloaded.open }],
    limits,
  });
  const reloading = models.reload('b');
  const adding = models.add(added.open);
  await Promise.all([reloaded.warming, added.warming]);
  await models.add(async () => engine('c', '1'));
  reloaded.free();
  added.free();
  await assert.rejects(reloading, { message: /folder of b@1 now holds c@1, which is served already/ });
  await assert.rejects(adding, { message: /c@1 is served already/ });
  assert.deepEqual([labelsOf(models), closed], [['a@1', 'b@1', 'c@1'], 2]);
  await models.close();
});

test('of two models of one name that become warm at the same time, one is served', async () => {
  const slow = [1, 2].map(() => slowToWarm('c', '1', () => {}));
  const models = createModelRegistry({ models: [{ engine: engine('a', '1') }], limits });
  const adding = slow.map(({ open }) => models.add(open));
  await Promise.all(slow.map(({ warming }) => warming));
  for (const { free } of slow) free();
  const results = await Promise.allSettled(adding);
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  assert.deepEqual(labelsOf(models), ['a@1', 'c@1']);
  await models.close();
});

test('a close waits for the reload of a model that was removed', async () => {
  const { models, reloading, free, closed } = await removedWhileReloaded();
  const closing = models.close().then(closed);
  free();
  await assert.rejects(reloading, { code: 'shutting_down' });
  assert.equal(await closing, 1);
});
