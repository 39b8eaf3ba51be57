import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { numbers } from '../../test/support/graphs.js';
import { type ReferenceView, reference } from '../../test/support/lossReference.js';
import { tinyConfig, writePhotographs } from '../../test/support/tinyRun.js';
import { createLoader } from '../data/loader.js';
import { openImageSource } from '../data/sources.js';
import { initialise, inputParameters } from '../nn/parameters.js';
import { encodeModel } from '../onnx/encode.js';
import { Graph, TRAINING_OPSET } from '../onnx/graph.js';
import { createSession, runSession } from '../onnx/session.js';
import type { Tensor } from '../tensor/tensor.js';
import { forwardViews } from './forwardViews.js';
import { createFusedRunner } from './fusedRunner.js';
import { loaderOptionsOf, stepConfigOf } from './plan.js';
import { stepNames } from './stepConfig.js';
import type { StepBatch, StepTerms } from './stepRunner.js';

/**
 * Effects of every switch of the method on the first step of a run, with the same photographs and initial weights. The terms
 * are compared with a loss in plain loops and with those of the default configuration.
 */

const SEED = 1;

const GLOBAL = ['inv_l', 'var_l', 'cov_l'];
const LOCAL = ['minv_l', 'mvar_l', 'mcov_l'];

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-switches-'));
  await writePhotographs(
    root,
    Array.from({ length: 4 }, (_, i) => `${i}.jpg`),
  );
});
after(() => rm(root, { recursive: true }));

/** A network with two stages of one block. Its maps have 16 cells. */
const model = { architecture: 'custom', depths: [1, 1], widths: [8, 16], expander: [24], localProjector: [16] };
const configOf = (loss: object, crops: object = {}) =>
  tinyConfig(root, {
    model,
    loss: { numMatches: [6, 3], ...loss },
    crops: { size: 32, scale: [0.3, 1], ...crops },
  });

/** Each result is computed once. */
function cached<T>(compute: (...keys: object[]) => Promise<T>): typeof compute {
  const known = new Map<string, Promise<T>>();
  return (...keys) => {
    const key = JSON.stringify(keys);
    const result = known.get(key) ?? compute(...keys);
    known.set(key, result);
    return result;
  };
}

const firstBatch = cached(async (crops = {}): Promise<StepBatch> => {
  const loader = createLoader(loaderOptionsOf(configOf({}, crops), await openImageSource(root, { labels: 'none' })));
  const batch = await loader.batch(0);
  await loader.close();
  return batch;
});

/** The logged terms of the first step. */
const terms = cached(async (loss = {}, crops = {}): Promise<StepTerms> => {
  const config = { ...stepConfigOf(configOf(loss, crops), undefined), dropPath: false };
  const options = { dropPathRate: 0, initial: new Map(), seed: SEED, session: { threads: 1 } };
  const runner = await createFusedRunner(config, options);
  const [first] = await runner.run([{ step: 0, learningRate: 0, batch: await firstBatch(crops) }]);
  await runner.close();
  return first!;
});

/** Outputs of the network for the first batch, and its locations. */
const firstViews = cached(async (crops = {}): Promise<readonly ReferenceView[]> => {
  const config = { ...stepConfigOf(configOf({}, crops), undefined), dropPath: false };
  const batch = await firstBatch(crops);
  const graph = new Graph(TRAINING_OPSET);
  const parameters = inputParameters(graph);
  forwardViews(config, parameters).forEach(({ embedding, mapsEmbedding }, v) => {
    graph.output(`embedding.${v}`, embedding!);
    graph.output(`maps.${v}`, mapsEmbedding!);
  });
  const feeds = new Map<string, Tensor>(batch.views.map((view, v) => [stepNames.view(v), view]));
  for (const spec of parameters.specs) feeds.set(spec.name, initialise(spec, SEED));
  const session = await createSession(encodeModel(graph), { threads: 1 });
  const outputs = await runSession(session, feeds);
  await session.release();
  return batch.locations.map((locations, v) => ({
    cells: locations.shape[1]!,
    embedding: numbers(outputs.get(`embedding.${v}`)!),
    maps: numbers(outputs.get(`maps.${v}`)!),
    locations: numbers(locations),
  }));
});

/** The terms of VICReg's criterion that a configuration must log, from the loss in plain loops. */
async function rightTerms(loss: object, crops: object = {}): Promise<StepTerms> {
  const config = stepConfigOf(configOf(loss, crops), undefined);
  const { global, local } = reference(await firstViews(crops), config.loss, config.batchSize);
  return Object.fromEntries([
    ...GLOBAL.map((name, i) => [name, global[i]!]),
    ...LOCAL.map((name, i) => [name, local[i]!]),
  ]);
}

const near = (actual: number | undefined, expected: number, what: string) => {
  const close = actual !== undefined && Math.abs(actual - expected) <= 1e-5 * Math.abs(expected) + 1e-7;
  assert.ok(close, `${what}: ${actual}, expected ${expected}`);
};
const same = (a: StepTerms, b: StepTerms, names: readonly string[]) => {
  for (const name of names) near(a[name], b[name]!, name);
};
const sumOf = (from: StepTerms, names: readonly string[]) => names.reduce((sum, name) => sum + from[name]!, 0);

describe('on the first step of a run', () => {
  let usual: StepTerms;
  before(async () => {
    usual = await terms({});
  });

  it('the terms equal those of a loss in plain loops', async () => {
    same(usual, await rightTerms({}), [...GLOBAL, ...LOCAL]);
  });

  it('loss.alpha weights the global and the local loss, and 0 or 1 omits one of them', async () => {
    for (const alpha of [0, 0.5, 1]) {
      const found = await terms({ alpha });
      const kept = [...(alpha > 0 ? GLOBAL : []), ...(alpha < 1 ? LOCAL : [])];
      assert.deepEqual(
        Object.keys(found).filter((name) => /(inv|var|cov)_l$/.test(name)),
        kept,
      );
      same(found, usual, kept);
      near(found['l'], alpha * sumOf(usual, GLOBAL) + (1 - alpha) * sumOf(usual, LOCAL), `l with alpha ${alpha}`);
    }
  });

  it('loss.matches selects one kind of matches, and both is their sum', async () => {
    const [location, feature] = [await terms({ matches: 'location' }), await terms({ matches: 'feature' })];
    same(location, usual, GLOBAL);
    same(feature, usual, GLOBAL);
    same(location, await rightTerms({ matches: 'location' }), LOCAL);
    same(feature, await rightTerms({ matches: 'feature' }), LOCAL);
    for (const name of LOCAL) near(location[name]! + feature[name]!, usual[name]!, name);
  });

  it('loss.numMatches limits location matches, and feature matches if loss.featureMatches is top', async () => {
    const feature = await terms({ matches: 'feature' });
    same(await terms({ matches: 'feature', numMatches: [1, 1] }), feature, LOCAL);
    const top = { matches: 'feature', featureMatches: 'top' };
    same(await terms({ ...top, numMatches: [16, 16] }), feature, LOCAL); // all 16 cells
    const fewer = [
      [1, 16],
      [16, 1],
      [1, 1],
    ] as const;
    const [pivot, other, both] = await Promise.all(fewer.map((numMatches) => terms({ ...top, numMatches })));
    // The closest pairs have a smaller distance than all pairs. Both numbers of the tuple have an effect.
    assert.ok(both!['minv_l']! < pivot!['minv_l']! && both!['minv_l']! < other!['minv_l']!);
    assert.ok(pivot!['minv_l']! < feature['minv_l']! && other!['minv_l']! < feature['minv_l']!);
    for (const [i, numMatches] of fewer.entries()) {
      same([pivot, other, both][i]!, await rightTerms({ ...top, numMatches }), LOCAL);
    }
    const few = { matches: 'location', numMatches: [1, 1] };
    const fewLocations = await terms(few);
    same(fewLocations, await rightTerms(few), LOCAL);
    same(fewLocations, usual, GLOBAL);
  });

  it('loss.invariance, variance and covariance weight both losses, and loss.local only the local loss', async () => {
    const weights = { invariance: 50, variance: 5, covariance: 3 };
    const [all, local] = [await terms(weights), await terms({ local: weights })];
    const factors = [2, 0.2, 3];
    for (const [i, factor] of factors.entries()) {
      near(all[GLOBAL[i]!], factor * usual[GLOBAL[i]!]!, GLOBAL[i]!);
      near(all[LOCAL[i]!], factor * usual[LOCAL[i]!]!, LOCAL[i]!);
      near(local[GLOBAL[i]!], usual[GLOBAL[i]!]!, GLOBAL[i]!);
      near(local[LOCAL[i]!], factor * usual[LOCAL[i]!]!, LOCAL[i]!);
    }
  });

  it('a weight of 0 omits its term, also from the log', async () => {
    const found = await terms({ covariance: 0, local: { variance: 0, covariance: 1 } });
    const kept = ['inv_l', 'var_l', 'minv_l', 'mcov_l'];
    assert.deepEqual(
      Object.keys(found).filter((name) => /(inv|var|cov)_l$/.test(name)),
      kept,
    );
    same(found, usual, kept);
    near(found['l'], 0.75 * sumOf(usual, kept.slice(0, 2)) + 0.25 * sumOf(usual, kept.slice(2)), 'l');
  });

  it('loss.criterion simclr replaces the criterion with NT-Xent at loss.temperature', async () => {
    const found = await terms({ criterion: 'simclr' });
    assert.deepEqual(
      Object.keys(found).filter((name) => /(inv|var|cov|nce)_l$/.test(name)),
      ['nce_l', 'mnce_l'],
    );
    same(found, usual, ['stdr', 'stde', 'corr', 'core']);
    near(found['l'], 0.75 * found['nce_l']! + 0.25 * found['mnce_l']!, 'l');
    // At a high temperature, the 2 B - 1 others have equal weight.
    const hot = await terms({ criterion: 'simclr', temperature: 1e6 });
    near(hot['nce_l'], Math.log(7), 'nce_l');
    near(hot['mnce_l'], 2 * Math.log(7), 'mnce_l, of two kinds of matches');
    assert.deepEqual(
      Object.keys(await terms({ criterion: 'simclr', alpha: 1 })).filter((name) => /nce_l$/.test(name)),
      ['nce_l'],
    );
  });

  it('crops.mirrorFlippedGrid changes only location matches', async () => {
    const authors = { mirrorFlippedGrid: false };
    same(await terms({ matches: 'feature' }, authors), await terms({ matches: 'feature' }), [...GLOBAL, ...LOCAL]);
    const location = { matches: 'location' };
    const left = await terms(location, authors);
    same(left, usual, GLOBAL);
    same(left, await rightTerms(location, authors), LOCAL);
    // A crop of the first batch is flipped, so the two grids and their correct values differ.
    assert.notDeepEqual((await firstBatch(authors)).locations, (await firstBatch({})).locations);
    const mirrored = await rightTerms(location);
    assert.ok(Math.abs(left['minv_l']! - mirrored['minv_l']!) > 1e-3 * mirrored['minv_l']!);
  });
});
