import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tinyManifest } from '../../test/support/tinyModel.js';
import { openImageSource } from '../data/sources.js';
import { createFakeEngine } from '../engine/fakeEngine.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { writeRandomModel } from '../models/randomModel.js';
import { compareWithRandom } from './compareWithRandom.js';

const photographs = fileURLToPath(new URL('../../../test/fixtures/photos', import.meta.url));
const heads = { localProjector: [10, 12, 6], norm: 'layer' as const };

describe('compareWithRandom', () => {
  let folder: string;
  let model: ModelFolder;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vicregl-compare-'));
    const like = { ...tinyManifest, files: {}, depths: [1, 1, 1, 1], widths: [4, 4, 8, 8], stride: 32, heads };
    await writeRandomModel(join(folder, 'model'), like, 1);
    model = await openModelFolder(join(folder, 'model'));
  });
  after(() => rm(folder, { recursive: true }));

  it('runs the same network with the same heads on the same pairs, and closes what it started', async () => {
    const started: ModelFolder[] = [];
    let closed = 0;
    const { trained, random, gainInterval } = await compareWithRandom(
      model,
      await openImageSource(photographs),
      async (each) => {
        started.push(each);
        const engine = createFakeEngine({ manifest: each.manifest });
        return { ...engine, close: async () => void closed++ };
      },
      { pairsPerPhotograph: 1, seed: 3 },
    );
    assert.equal(closed, 2);
    assert.deepEqual(started[1]!.manifest.heads, heads);
    assert.deepEqual(started[1]!.manifest.dims, model.manifest.dims);
    assert.equal(started[1]!.manifest.training['note'], 'initial weights of seed 3, untrained');
    // The fake engine's features come from the pixels alone, so both have the same matches and no gain.
    assert.deepEqual(trained.perPhotograph, random.perPhotograph);
    assert.deepEqual(gainInterval, [0, 0]);
  });

  it('closes an engine that fails, and passes the failure on', async () => {
    let closed = 0;
    await assert.rejects(
      compareWithRandom(
        model,
        await openImageSource(photographs),
        async ({ manifest }) => ({
          ...createFakeEngine({ manifest }),
          run: () => Promise.reject(new Error('no luck')),
          close: async () => void closed++,
        }),
        {},
      ),
      /no luck/,
    );
    assert.equal(closed, 1);
  });
});
