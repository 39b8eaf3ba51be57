import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { doubles, normals, numbers } from '../../test/support/graphs.js';
import { reference, TERMS, type ReferenceView as View, weightsOf } from '../../test/support/lossReference.js';
import { encodeModel } from '../onnx/encode.js';
import { gradients } from '../onnx/gradients.js';
import { Graph, type Value } from '../onnx/graph.js';
import { createSession, runSession } from '../onnx/session.js';
import { GraphError } from '../onnx/shapes.js';
import { stream } from '../tensor/random.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';
import { type LossConfig, type LossTerms, type ViewOutputs, vicreglLoss, viewPairs } from './loss.js';

const paper: LossConfig = {
  alpha: 0.75,
  numMatches: [3, 2],
  featureMatches: 'all',
  weights: { invariance: 25, variance: 25, covariance: 1 },
};

/** 1 / temperature is exact: ONNX Runtime folds it into the product as a float32, even in a float64 graph. */
const simclrL: LossConfig = { ...paper, simclr: { temperature: 0.125 } };

const [B, D, DM] = [4, 6, 5];

function randomViews(cells: readonly number[], seed: number): View[] {
  return cells.map((count, v) => ({
    cells: count,
    embedding: normals([B, D], 100 * seed + v),
    maps: normals([B, count, DM], 100 * seed + 10 + v),
    locations: normals([B, count, 2], 100 * seed + 20 + v).map((value) => 200 * value),
  }));
}

const tensorsOf = ({ cells, embedding, maps, locations }: View): Record<keyof ViewOutputs, Tensor> => ({
  embedding: doubles([B, D], embedding),
  mapsEmbedding: doubles([B, cells, DM], maps),
  locations: doubles([B, cells, 2], locations),
});

/** The inputs of the loss for one view, by the names of the graph's inputs. */
function feedsOf(view: View, v: number, { alpha }: LossConfig): [key: string, name: string, value: Tensor][] {
  return Object.entries(tensorsOf(view))
    .filter(([key]) => (key === 'embedding' ? alpha > 0 : alpha < 1))
    .map(([key, value]) => [key, `${key}.${v}`, value]);
}

/** The inputs of a graph for such views, and their feeds. */
function declare(graph: Graph, views: readonly View[], config: LossConfig) {
  const feeds = new Map<string, Tensor>();
  const inputs = views.map((view, v) => {
    const entries = feedsOf(view, v, config).map(([key, name, value]) => {
      feeds.set(name, value);
      return [key, graph.input(name, 'float64', value.shape)];
    });
    return Object.fromEntries(entries) as ViewOutputs;
  });
  return { inputs, feeds };
}

/** The loss for any views with as many cells as these, in one session. */
async function openLoss(like: readonly View[], config: LossConfig) {
  const graph = new Graph();
  const { inputs } = declare(graph, like, config);
  for (const [name, value] of Object.entries(flat(vicreglLoss(inputs, config)))) graph.output(name, value);
  const session = await createSession(encodeModel(graph), { threads: 1 });
  return {
    async of(views: readonly View[]): Promise<Record<string, number>> {
      const feeds = views.flatMap((view, v) => feedsOf(view, v, config));
      const results = await runSession(session, new Map(feeds.map(([, name, value]) => [name, value])));
      return Object.fromEntries([...results].map(([name, value]) => [name, numbers(value)[0]!]));
    },
    close: () => session.release(),
  };
}

async function loss(views: readonly View[], config: LossConfig): Promise<Record<string, number>> {
  const opened = await openLoss(views, config);
  try {
    return await opened.of(views);
  } finally {
    await opened.close();
  }
}

function flat({ global, local, total }: LossTerms): Record<string, Value> {
  const named = (kind: string, terms: object | undefined) =>
    Object.entries(terms ?? {}).map(([name, value]) => [`${kind}.${name}`, value as Value]);
  return { total, ...Object.fromEntries([...named('global', global), ...named('local', local)]) };
}

const near = (actual: number, expected: number, what: string, tolerance = 1e-9) =>
  assert.ok(
    Math.abs(actual - expected) <= tolerance * Math.max(1, Math.abs(expected)),
    `${what}: ${actual}, ${expected}`,
  );
describe('vicreglLoss against plain loops, in float64', () => {
  const cases: Record<string, readonly [number[], LossConfig]> = {
    'two views': [[9, 9], paper],
    'two views, top feature matches': [[9, 9], { ...paper, featureMatches: 'top' }],
    'two large views and two small ones': [[9, 9, 4, 4], paper],
    'maps of different sizes, one of them kept whole': [[6, 4], { ...paper, numMatches: [4, 4] }],
    'location matches alone': [[9, 9, 4], { ...paper, matches: 'location' }],
    'feature matches alone': [[9, 9, 4], { ...paper, matches: 'feature' }],
    'weights of its own for the local criterion': [
      [4, 4],
      { ...paper, numMatches: [4, 4], localWeights: { invariance: 2, variance: 9, covariance: 0.5 } },
    ],
    'other weights and alpha': [
      [4, 4],
      { ...paper, alpha: 0.2, weights: { invariance: 3, variance: 2, covariance: 7 } },
    ],
    'terms of weight 0, which are left out': [
      [4, 4],
      {
        ...paper,
        weights: { invariance: 3, variance: 0, covariance: 7 },
        localWeights: { invariance: 1, variance: 0, covariance: 0 },
      },
    ],
    'SimCLR-L on two views': [[9, 9], simclrL],
    'SimCLR-L on two large views and two small ones': [[9, 9, 4, 4], simclrL],
    'SimCLR-L, top feature matches, another temperature': [
      [9, 9],
      { ...paper, featureMatches: 'top', simclr: { temperature: 0.5 } },
    ],
  };
  for (const [what, [cells, config]] of Object.entries(cases)) {
    it(what, async () => {
      const views = randomViews(cells, 1);
      const [actual, expected] = [await loss(views, config), reference(views, config, B)];
      for (const [kind, weights] of [
        ['global', config.weights],
        ['local', config.localWeights ?? config.weights],
      ] as const) {
        weightsOf(weights, config).forEach((weight, i) => {
          const [name, value] = [`${kind}.${TERMS[i]}`, expected[kind][i]!];
          if (weight === 0) assert.equal(actual[name], undefined, `${name} has weight 0`);
          else near(actual[name]!, value, name);
        });
      }
      near(actual['total']!, expected.total, 'total');
    });
  }

  // Every switch of the loss, on two large views and a small one.
  const small: LossConfig = { ...paper, numMatches: [3, 1] };
  const switches: Record<string, LossConfig> = {
    'the defaults': small,
    'the global loss alone': { ...small, alpha: 1 },
    'the local loss alone': { ...small, alpha: 0 },
    'top feature matches': { ...small, featureMatches: 'top' },
    'location matches alone': { ...small, matches: 'location' },
    'feature matches alone': { ...small, matches: 'feature' },
    'other local weights, terms left out': {
      ...small,
      weights: { invariance: 5, variance: 0, covariance: 2 },
      localWeights: { invariance: 0, variance: 3, covariance: 0 },
    },
    'SimCLR-L': { ...small, simclr: { temperature: 0.15 } },
    SimCLR: { ...small, alpha: 1, simclr: { temperature: 0.15 } },
  };
  for (const [what, config] of Object.entries(switches))
    it(`has a gradient that agrees with central differences: ${what}`, () => checkGradient([4, 4, 1], config));
});

/** Compares the gradient of every embedding and map with central differences, in float64. */
async function checkGradient(cells: readonly number[], config: LossConfig): Promise<void> {
  const views = randomViews(cells, 2);
  const graph = new Graph();
  const { inputs, feeds } = declare(graph, views, config);
  const { total } = vicreglLoss(inputs, config);
  graph.output('total', total);
  const trained = inputs
    .flatMap(({ embedding, mapsEmbedding }) => [embedding, mapsEmbedding])
    .filter((value) => value !== undefined);
  gradients(total, trained).forEach((gradient, i) => {
    graph.output(`gradient/${trained[i]!.name}`, gradient);
  });
  const session = await createSession(encodeModel(graph), { threads: 1 });
  const results = await runSession(session, feeds);
  const step = 1e-6;
  for (const { name, shape } of trained) {
    const values = feeds.get(name)!.data as Float64Array;
    const analytic = results.get(`gradient/${name}`)!.data as Float64Array;
    const numeric: number[] = [];
    for (let i = 0; i < elementCount(shape as number[]); i++) {
      const at = values[i]!;
      const ends: number[] = [];
      for (const shifted of [at + step, at - step]) {
        values[i] = shifted;
        ends.push(Number((await runSession(session, feeds, ['total'])).get('total')!.data[0]));
      }
      values[i] = at;
      numeric.push((ends[0]! - ends[1]!) / (2 * step));
    }
    const error = Math.hypot(...numeric.map((value, i) => value - analytic[i]!)) / Math.hypot(...numeric);
    assert.ok(error < 1e-6, `${name}: relative error ${error}`);
  }
  await session.release();
}

describe('vicreglLoss', () => {
  it('pairs each of the two pivots with every other view: 2 (V - 1) pairs', () => {
    assert.deepEqual(viewPairs(2), [
      [0, 1],
      [1, 0],
    ]);
    assert.deepEqual(viewPairs(4), [
      [0, 1],
      [0, 2],
      [0, 3],
      [1, 0],
      [1, 2],
      [1, 3],
    ]);
    assert.equal(viewPairs(8).length, 14);
  });

  it('needs no embedding with alpha 0, and no maps and locations with alpha 1', async () => {
    const views = randomViews([4, 4], 3);
    const expected = reference(views, paper, B);
    const [local, global] = [await loss(views, { ...paper, alpha: 0 }), await loss(views, { ...paper, alpha: 1 })];
    assert.deepEqual(Object.keys(local).sort(), ['local.covariance', 'local.invariance', 'local.variance', 'total']);
    assert.deepEqual(Object.keys(global).sort(), [
      'global.covariance',
      'global.invariance',
      'global.variance',
      'total',
    ]);
    near(
      local['total']!,
      expected.local.reduce((a, b) => a + b),
      'local',
    );
    near(
      global['total']!,
      expected.global.reduce((a, b) => a + b),
      'global',
    );
  });

  it('rejects more matches than cells when the graph is built', () => {
    const graph = new Graph();
    const view = (v: number) => ({
      mapsEmbedding: graph.input(`maps.${v}`, 'float32', [B, 4, DM]),
      locations: graph.input(`locations.${v}`, 'float32', [B, 4, 2]),
    });
    assert.throws(
      () => vicreglLoss([view(0), view(1)], { ...paper, alpha: 0, numMatches: [20, 4] }),
      (error: unknown) => error instanceof GraphError && /numMatches 20 exceeds the 4 cells/.test(error.message),
    );
  });
});

describe('vicreglLoss, for any views', () => {
  const seeds = fc.integer({ min: 0, max: 10_000 });

  it('of a view with itself has no invariance: every cell is its own match', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const [view] = randomViews([6], seed);
        const terms = await loss([view!, view!], paper);
        assert.equal(terms['global.invariance'], 0);
        assert.equal(terms['local.invariance'], 0);
        assert.ok(terms['local.variance']! > 0);
      }),
      { numRuns: 8, seed: 3 },
    );
  });

  it('does not depend on the order of the images', async () => {
    const cells = [4, 4, 1];
    const configs = [paper, simclrL].map((one): LossConfig => ({ ...one, numMatches: [3, 1] }));
    const losses = await Promise.all(configs.map((config) => openLoss(randomViews(cells, 0), config)));
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const views = randomViews(cells, seed);
        const order = stream(seed, 'order').permutation(B);
        const permuted = (values: readonly number[]) => {
          const row = values.length / B;
          return [...order].flatMap((image) => values.slice(image * row, (image + 1) * row));
        };
        const shuffled = views.map(({ cells, embedding, maps, locations }) => ({
          cells,
          embedding: permuted(embedding),
          maps: permuted(maps),
          locations: permuted(locations),
        }));
        for (const opened of losses) {
          const [first, second] = [await opened.of(views), await opened.of(shuffled)];
          for (const [term, value] of Object.entries(first)) near(second[term]!, value, term);
        }
      }),
      { numRuns: 8, seed: 4 },
    );
    for (const opened of losses) await opened.close();
  });
});
