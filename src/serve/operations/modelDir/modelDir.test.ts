import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyManifest } from '../../../../test/support/tinyModel.js';
import { until } from '../../../../test/support/until.js';
import { createFakeEngine } from '../../../engine/fakeEngine.js';
import { defaultServeLimits } from '../../config/serveLimits.js';
import { createModelRegistry, modelLabel } from '../../inference/registry.js';
import { openModelDir } from './modelDir.js';
import type { ModelVersion, ScannedDir } from './scan.js';

/** A models directory in memory: its listing, which versions work, and what was logged. */
function directory(listing: Record<string, readonly string[]>) {
  const state = {
    listing,
    broken: new Map<string, string>(),
    /** Appended to the signatures of a version. */
    changes: new Map<string, number>(),
    scans: 0,
    misplaced: [] as string[],
    /** Labels of manifests that differ from their folders. */
    manifests: new Map<string, string>(),
    gone: undefined as Error | undefined,
    onOpen: () => {},
  };
  const opened: string[] = [];
  const closed: string[] = [];
  const logged: string[] = [];
  const log = (facts: Record<string, unknown>, message: string): void => {
    const { model, version, reason } = facts;
    logged.push([model, version, message, reason].filter(Boolean).join(' '));
  };
  const options = {
    dir: 'models',
    async open(dir: string) {
      opened.push(dir);
      state.onOpen();
      const [name, version] = (state.manifests.get(dir)?.split('@') ?? dir.split('/')) as [string, string];
      const problem = state.broken.get(dir);
      if (problem !== undefined) throw new Error(problem);
      const engine = createFakeEngine({ manifest: { ...tinyManifest, files: {}, name, version } });
      return { ...engine, close: async () => void closed.push(dir) };
    },
    warm: async () => {},
    logger: { info: log, warn: log, error: log } as never,
    async scan(): Promise<ScannedDir> {
      state.scans++;
      if (state.gone) throw state.gone;
      const models = new Map<string, ModelVersion[]>();
      for (const [name, versions] of Object.entries(state.listing)) {
        models.set(
          name,
          versions.map((version) => {
            const dir = `${name}/${version}`;
            return { name, version, dir, signature: `${dir} ${state.changes.get(dir) ?? 0}` };
          }),
        );
      }
      return { models, misplaced: state.misplaced };
    },
  };
  return { ...state, state, opened, closed, logged, options };
}

async function start(listing: Record<string, readonly string[]>) {
  const disk = directory(listing);
  const dir = await openModelDir(disk.options);
  const models = createModelRegistry({ models: dir.sources, limits: defaultServeLimits });
  // A poll is started by the tests: no timer ends.
  dir.start(models, 2 ** 30);
  const labels = () => models.served.map(modelLabel);
  async function stop(): Promise<void> {
    dir.stop();
    await models.close();
  }
  return { ...disk, dir, models, labels, look: dir.poll, stop };
}

test('each model is served in its highest version, and a new version replaces it without the old one being gone before', async () => {
  const { dir, state, labels, look, models, closed, stop } = await start({ a: ['2', '1'], b: ['1'] });
  assert.deepEqual(labels(), ['a@2', 'b@1']);
  state.listing = { a: ['10', '2', '1'], b: ['1'] };
  await models.use('a', async ({ engine: { manifest } }) => {
    await look();
    assert.equal(manifest.version, '2');
    assert.deepEqual(closed, [], 'a call still uses it');
  });
  assert.deepEqual(labels(), ['a@10', 'b@1']);
  await stop();
  assert.ok(closed.includes('a/2'));
  assert.deepEqual(dir.names, ['a', 'a@10', 'b', 'b@1']);
});

test('a look at an unchanged directory opens nothing', async () => {
  const { look, opened, stop } = await start({ a: ['2', '1'] });
  const before = opened.length;
  for (let i = 0; i < 3; i++) await look();
  assert.equal(opened.length, before);
  await stop();
});

test('a broken version is refused and named once, while the old one serves; it is served when its files were mended', async () => {
  const { dir, state, labels, look, logged, opened, stop } = await start({ a: ['1'] });
  state.listing = { a: ['2', '1'] };
  state.broken.set('a/2', 'backbone.onnx has 10 bytes, expected 20');
  await look();
  assert.deepEqual(dir.status, { readable: true, refused: [], refusals: 0 }, 'it may still be written');
  for (let i = 0; i < 3; i++) await look();
  assert.deepEqual(dir.status, { readable: true, refused: [{ name: 'a', version: '2' }], refusals: 1 });
  assert.deepEqual(labels(), ['a@1']);
  assert.equal(opened.filter((each) => each === 'a/2').length, 1, 'its checksums are not computed at each look');
  const named = logged.filter((line) => line.includes('refused'));
  assert.equal(named.length, 1);
  assert.match(named[0]!, /^a 2 .*backbone.onnx has 10 bytes, expected 20$/);
  state.broken.clear();
  state.changes.set('a/2', 1);
  await look();
  assert.deepEqual(labels(), ['a@2']);
  assert.deepEqual(dir.status.refused, []);
  await stop();
});

test('a version that is being written is not named while its files change, and taken when it is whole', async () => {
  const { dir, state, labels, look, logged, stop } = await start({ a: ['1'] });
  state.listing = { a: ['2', '1'] };
  state.broken.set('a/2', 'there is no manifest.json');
  for (let i = 0; i < 5; i++) {
    state.changes.set('a/2', i);
    await look();
  }
  assert.deepEqual(labels(), ['a@1']);
  assert.equal(dir.status.refusals, 0);
  assert.deepEqual(logged, []);
  state.broken.clear();
  state.changes.set('a/2', 5);
  await look();
  assert.deepEqual(labels(), ['a@2']);
  await stop();
});

test('damage to the files of the served version leaves it loaded, and no lower version takes its place', async () => {
  const { dir, state, labels, look, stop } = await start({ a: ['2', '1'] });
  state.broken.set('a/2', 'checksum differs');
  state.changes.set('a/2', 1);
  await look();
  await look();
  assert.deepEqual(labels(), ['a@2']);
  assert.deepEqual(dir.status.refused, [{ name: 'a', version: '2' }]);
  // The old files are put back.
  state.changes.delete('a/2');
  await look();
  assert.deepEqual(labels(), ['a@2']);
  assert.deepEqual(dir.status.refused, []);
  await stop();
});

test('a removed version gives way to the highest that is left: a rollback', async () => {
  const { state, labels, look, stop } = await start({ a: ['2', '1'] });
  state.listing = { a: ['1'] };
  await look();
  assert.deepEqual(labels(), ['a@1']);
  await stop();
});

test('models are added and removed; the default model stays', async () => {
  const { dir, state, labels, look, logged, closed, stop } = await start({ b: ['1'], c: ['1'] });
  state.listing = { a: ['1'], d: ['3'] };
  await look();
  await look();
  assert.deepEqual(labels(), ['b@1', 'a@1', 'd@3'], 'the default does not change');
  assert.deepEqual(closed, ['c/1']);
  assert.equal(logged.filter((line) => line.includes('default model is gone')).length, 1);
  state.listing = { b: ['2'], d: ['3'] };
  await look();
  assert.deepEqual(labels(), ['b@2', 'd@3']);
  assert.deepEqual(dir.names, ['b', 'b@2', 'd', 'd@3']);
  await stop();
});

test('a models directory that disappears or is empty keeps the loaded models, and is logged once', async () => {
  const { dir, state, labels, look, logged, opened, stop } = await start({ a: ['1'], b: ['1'] });
  const before = opened.length;
  state.gone = Object.assign(new Error('gone'), { code: 'ENOENT' });
  for (let i = 0; i < 3; i++) await look();
  assert.equal(dir.status.readable, false);
  state.gone = undefined;
  const { listing } = state;
  state.listing = {};
  await look();
  assert.deepEqual(labels(), ['a@1', 'b@1']);
  assert.equal(logged.filter((line) => line.includes('directory is gone')).length, 1);
  await assert.rejects(dir.reload(), { message: /models cannot be used: it holds no NAME/ });
  state.listing = listing;
  await look();
  assert.equal(dir.status.readable, true);
  assert.equal(opened.length, before, 'nothing has changed');
  await stop();
});

test('a manifest of another name or version is refused, as is a model beside the versions', async () => {
  const { dir, state, labels, look, logged, stop } = await start({ a: ['1'] });
  state.listing = { a: ['1'], other: ['1'] };
  state.manifests.set('other/1', 'another@7');
  state.misplaced = ['flat'];
  await look();
  await look();
  assert.deepEqual(labels(), ['a@1']);
  assert.deepEqual(dir.status.refused, [
    { name: 'flat', version: '' },
    { name: 'other', version: '1' },
  ]);
  assert.ok(logged.some((line) => line.includes('is of another@7; folder and manifest must agree')));
  assert.ok(logged.some((line) => line.includes('move the model to flat/VERSION/')));
  await stop();
});

test('a reload by an operator tries refused versions again, and fails with the reason', async () => {
  const { dir, state, labels, stop } = await start({ a: ['1'] });
  state.listing = { a: ['2', '1'] };
  state.broken.set('a/2', 'no memory');
  await assert.rejects(dir.reload(), { message: /refused a\/2: no memory/ });
  state.broken.clear();
  assert.equal(await dir.reload(), 'a@2');
  assert.deepEqual(labels(), ['a@2']);
  await stop();
});

test('a reload by an operator opens unchanged versions again, and the old engines are closed', async () => {
  const { dir, look, labels, opened, closed, models, stop } = await start({ a: ['2', '1'], b: ['1'] });
  const before = models.served.map(({ engine }) => engine);
  opened.length = 0;
  assert.equal(await dir.reload(), 'a@2, b@1');
  assert.deepEqual(opened, ['a/2', 'b/1']);
  await until(() => closed.length === 2);
  assert.deepEqual(
    [labels(), closed],
    [
      ['a@2', 'b@1'],
      ['a/2', 'b/1'],
    ],
  );
  assert.ok(models.served.every(({ engine }) => !before.includes(engine)));
  opened.length = 0;
  assert.equal(await dir.reload('b'), 'b@1');
  await look();
  assert.deepEqual(opened, ['b/1']);
  await stop();
});

test('a reload verifies an unchanged version: if it fails the old engine stays, and the next look does not try it', async () => {
  const { dir, state, look, labels, opened, closed, stop } = await start({ a: ['2', '1'] });
  state.broken.set('a/2', 'checksum differs');
  opened.length = 0;
  for (let i = 0; i < 2; i++) {
    await assert.rejects(dir.reload('a'), { message: 'modelDir: refused a/2: checksum differs' });
  }
  await look();
  await look();
  assert.deepEqual([labels(), opened, closed], [['a@2'], ['a/2', 'a/2'], []]);
  assert.deepEqual(dir.status.refused, [], 'its files are those that are served');
  state.broken.clear();
  assert.equal(await dir.reload(), 'a@2');
  await stop();
});

test('a reload opens the served version again where a higher one is refused', async () => {
  const { dir, state, opened, labels, stop } = await start({ a: ['1'] });
  state.listing = { a: ['2', '1'] };
  state.broken.set('a/2', 'no memory');
  opened.length = 0;
  await assert.rejects(dir.reload(), { message: 'modelDir: refused a/2: no memory' });
  assert.deepEqual([opened, labels()], [['a/2', 'a/1'], ['a@1']]);
  await stop();
});

test('a reload says that the folder of the default model is gone', async () => {
  const { dir, state, labels, stop } = await start({ a: ['1'], b: ['1'] });
  state.listing = { b: ['1'] };
  const gone = { message: 'modelDir: the folder of the default model a is gone; it stays loaded' };
  await assert.rejects(dir.reload(), gone);
  await assert.rejects(dir.reload('a'), gone);
  assert.equal(await dir.reload('b'), 'b@1');
  assert.deepEqual(labels(), ['a@1', 'b@1']);
  await stop();
});

test('a version that stays broken is named and counted once, also over reloads, and is refused all the time', async () => {
  const { dir, state, look, logged, opened, stop } = await start({ a: ['1'] });
  const refused = [{ name: 'a', version: '2' }];
  state.listing = { a: ['2', '1'] };
  state.misplaced = ['flat'];
  state.broken.set('a/2', 'no memory');
  await look();
  await look();
  const refusals = () => logged.filter((line) => line.includes('refused'));
  const named = refusals().length;
  for (let i = 1; i <= 3; i++) {
    state.broken.set('a/2', `no memory ${i}`);
    await assert.rejects(dir.reload(), new RegExp(`refused flat/: .*; a/2: no memory ${i}$`));
    assert.equal(opened.filter((each) => each === 'a/2').length, i + 1);
    assert.deepEqual(dir.status, { readable: true, refused: [{ name: 'flat', version: '' }, ...refused], refusals: 2 });
  }
  assert.equal(refusals().length, named);
  // Other files, which fail too.
  state.changes.set('a/2', 1);
  await look();
  await look();
  assert.equal(dir.status.refusals, 3);
  await stop();
});

test('while a reload tries a refused version again, it is still shown as refused', async () => {
  const { dir, state, look, stop } = await start({ a: ['1'] });
  state.listing = { a: ['2', '1'] };
  state.broken.set('a/2', 'no memory');
  await look();
  await look();
  const shown: unknown[] = [];
  state.onOpen = () => void shown.push(dir.status.refused);
  await assert.rejects(dir.reload());
  // While it is opened, and while the served one is opened again.
  const refused = [{ name: 'a', version: '2' }];
  assert.deepEqual(shown, [refused, refused]);
  await stop();
});

test('a reload of one model looks at this one alone, and does not fail for another one', async () => {
  const { dir, state, labels, opened, stop } = await start({ a: ['1'], b: ['1'] });
  state.listing = { a: ['2', '1'], b: ['2', '1'] };
  state.broken.set('a/2', 'no memory');
  assert.equal(await dir.reload('b'), 'b@2');
  assert.deepEqual(labels(), ['a@1', 'b@2']);
  assert.ok(!opened.includes('a/2'));
  await assert.rejects(dir.reload('a@1'), { message: 'modelDir: refused a/2: no memory' });
  assert.equal(await dir.reload('b@2'), 'b@2');
  state.listing = { a: ['1'] };
  assert.equal(await dir.reload('a'), 'a@1');
  assert.deepEqual(labels(), ['a@1', 'b@2'], 'only the named one');
  assert.equal(await dir.reload('b'), 'b is gone, and no longer served');
  assert.deepEqual(labels(), ['a@1']);
  await stop();
});

test('a version that is served besides the directory stops the start, and what was opened is closed', async () => {
  const { options, closed } = directory({ a: ['1'], b: ['3', '2'] });
  await assert.rejects(openModelDir({ ...options, taken: ['other@1', 'b@3'] }), {
    name: 'ServeError',
    message: 'model: b@3 is given twice, by model and by b/3 of modelDir; serve it by one of them',
  });
  assert.deepEqual(closed, ['a/1']);
});

test('a broken highest version at the start is named, and the next one serves; without any the start fails with the reasons', async () => {
  const disk = directory({ a: ['2', '1'] });
  disk.state.broken.set('a/2', 'checksum differs');
  const dir = await openModelDir(disk.options);
  assert.deepEqual(dir.names, ['a', 'a@1']);
  assert.deepEqual(dir.status.refused, [{ name: 'a', version: '2' }]);
  await Promise.all(dir.sources.map(({ engine }) => engine.close()));
  disk.state.broken.set('a/1', 'no manifest');
  await assert.rejects(openModelDir(disk.options), {
    message: /models has no model that can be served: a\/2: checksum differs; a\/1: no manifest/,
  });
  disk.state.gone = new Error('EACCES');
  await assert.rejects(openModelDir(disk.options), { message: /models has no model that can be served: EACCES/ });
  assert.deepEqual(
    disk.logged.filter((line) => line.includes('gone')),
    [],
    'nothing is loaded that could stay',
  );
});

test('jumps of the clock neither stop the looks nor make versions new', async (t) => {
  const { dir, models, state, labels, opened } = await start({ a: ['1'] });
  let day = 0;
  t.mock.method(Date, 'now', () => 86_400_000 * day);
  dir.start(models, 1);
  for (day of [20_000, 1, 30_000]) {
    const { scans } = state;
    await until(() => state.scans > scans + 1);
  }
  assert.deepEqual(opened, ['a/1']);
  state.listing = { a: ['2', '1'] };
  await until(() => labels()[0] === 'a@2');
  dir.stop();
  await models.close();
});
