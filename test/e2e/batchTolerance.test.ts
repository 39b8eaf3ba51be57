import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { openEngine } from '../../src/cli/engine.js';
import type { Engine, OutputName } from '../../src/engine/engine.js';
import { decodeInput } from '../../src/image/decodeInput.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { joinImages, splitOutputs } from '../../src/serve/inference/splitRun.js';

/** The documented tolerance (docs/service/api.md, Errors and retries): norm of the difference divided by the norm of the output in a batch of one. */
const TOLERANCE = 1e-5;

const photos = new URL('../../../test/fixtures/photos/', import.meta.url);
const outputs = new Set<OutputName>(['representation', 'maps', 'maps_embedding']);

describe('batching', () => {
  let engine: Engine;
  before(async () => {
    engine = await openEngine(bundledModelFolder, { device: 'cpu', workers: 1, threads: 2 }, () => {});
  });
  after(() => engine.close());

  test('changes no output of the bundled model by more than the documented tolerance', async (t) => {
    const { stride, preprocessing } = engine.manifest;
    const names = (await readdir(photos)).filter((name) => /\.(jpg|png)$/.test(name)).sort();
    const images = await Promise.all(
      names.map(async (name) => {
        const { resize, crop } = preprocessing;
        const bytes = await readFile(new URL(name, photos));
        const policy = { kind: 'shortestSide', resize, crop } as const;
        return (await decodeInput({ encoded: bytes }, { policy, stride, limits: defaultServeLimits })).image;
      }),
    );
    assert.ok(images.length >= 3);
    const alone = await Promise.all(images.map((image) => engine.run(joinImages([image]), outputs)));
    let worst = 0;
    for (const size of [2, 3, 8, 16]) {
      const batch = Array.from({ length: size }, (_, i) => i % images.length);
      const joined = await engine.run(joinImages(batch.map((i) => images[i]!)), outputs);
      for (const [place, answer] of splitOutputs(joined, size).entries()) {
        for (const output of outputs) {
          const expected = alone[batch[place]!]![output]!.data;
          const difference = Math.hypot(...answer[output]!.data.map((value, i) => value - expected[i]!));
          worst = Math.max(worst, difference / Math.hypot(...expected));
        }
      }
    }
    t.diagnostic(`largest relative difference: ${worst.toExponential(1)}`);
    assert.ok(worst <= TOLERANCE, `${worst}`);
  });
});
