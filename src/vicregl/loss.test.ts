import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { doubles, normals, numbers } from '../../test/support/graphs.js';
import { encodeModel } from '../onnx/encode.js';
import { gradients } from '../onnx/gradients.js';
import { Graph, type Value } from '../onnx/graph.js';
import { createSession, runSession } from '../onnx/session.js';
import { GraphError } from '../onnx/shapes.js';
import { stream } from '../tensor/random.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';
import type { CriterionWeights } from './criterion.js';
import { type LossConfig, type LossTerms, type ViewOutputs, vicreglLoss, viewPairs } from './loss.js';

const paper: LossConfig = {
  alpha: 0.75,
  numMatches: [3, 2],
  featureMatches: 'all',
  weights: { invariance: 25, variance: 25, covariance: 1 },
};

/** 1 / temperature is exact: ONNX Runtime folds it into the product as a float32, even in a float64 graph. */
const simclrL: LossConfig = { ...paper, simclr: { temperature: 0.125 } };

/** Numbers of one view: B images, P cells, D and D' channels. */
interface View {
  readonly cells: number;
  readonly embedding: readonly number[];
  readonly maps: readonly number[];
  readonly locations: readonly number[];
}

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

/** What a view gives to the loss, by the names of the graph's inputs. */
function feedsOf(view: View, v: number, { alpha }: LossConfig): [key: string, name: string, value: Tensor][] {
  return Object.entries(tensorsOf(view))
    .filter(([key]) => (key === 'embedding' ? alpha > 0 : alpha < 1))
    .map(([key, value]) => [key, `${key}.${v}`, value]);
}

/** The inputs of a graph for views like these, and what they are fed with. */
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

// The loss of docs/method.md in plain loops.

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
type Rows = readonly (readonly number[])[];

function regularisers(rows: Rows): [variance: number, covariance: number] {
  const d = rows[0]!.length;
  const means = Array.from({ length: d }, (_, k) => mean(rows.map((row) => row[k]!)));
  let [hinge, squares] = [0, 0];
  for (let i = 0; i < d; i++)
    for (let j = 0; j < d; j++) {
      const c = rows.reduce((s, row) => s + (row[i]! - means[i]!) * (row[j]! - means[j]!), 0) / (rows.length - 1);
      if (i === j) hinge += Math.max(0, 1 - Math.sqrt(c + 1e-4));
      else squares += c * c;
    }
  return [hinge / d, squares / d];
}

/** NT-Xent of matched rows: each of the 2N vectors against the 2N - 1 others. */
function contrast(x: Rows, y: Rows, temperature: number): number {
  const unit = [...x, ...y].map((row) => row.map((value) => value / Math.hypot(...row)));
  const exponentials = unit.map((a) =>
    unit.map((b) => Math.exp(a.reduce((s, v, k) => s + v * b[k]!, 0) / temperature)),
  );
  return mean(
    exponentials.map((row, anchor) => {
      const others = row.reduce((s, value, k) => s + (k === anchor ? 0 : value), 0);
      return -Math.log(row[(anchor + x.length) % row.length]! / others);
    }),
  );
}

const TERMS = ['invariance', 'variance', 'covariance', 'contrast'] as const;

/** Weight of each term; NT-Xent stands in place of the other three. */
const weightsOf = (weights: CriterionWeights, { simclr }: LossConfig) =>
  TERMS.map((term) => (term === 'contrast' ? Number(simclr !== undefined) : simclr ? 0 : weights[term]));

const distance = (a: readonly number[], b: readonly number[]) => a.reduce((s, v, i) => s + (v - b[i]!) ** 2, 0);
const rowsOf = (values: readonly number[], image: number, cells: number, d: number): number[][] =>
  Array.from({ length: cells }, (_, p) => values.slice((image * cells + p) * d, (image * cells + p + 1) * d));

/** The terms of one direction of one kind of matches. */
function direction(from: View, to: View, kind: 'maps' | 'locations', gamma: number, temperature: number): number[] {
  const d = kind === 'maps' ? DM : 2;
  const pairs = Array.from({ length: B }, (_, image) => {
    const [a, b] = [rowsOf(from[kind], image, from.cells, d), rowsOf(to[kind], image, to.cells, d)];
    const nearest = a.map((cell, source) => {
      const distances = b.map((other) => distance(cell, other));
      const least = Math.min(...distances);
      return { source, target: distances.indexOf(least), least };
    });
    const kept = [...nearest].sort((x, y) => x.least - y.least).slice(0, gamma);
    kept.sort((x, y) => x.source - y.source);
    const [mapsA, mapsB] = [rowsOf(from.maps, image, from.cells, DM), rowsOf(to.maps, image, to.cells, DM)];
    return kept.map(({ source, target }) => [mapsA[source]!, mapsB[target]!] as const);
  });
  const positions = Array.from({ length: gamma }, (_, g) => pairs.map((image) => image[g]!));
  const perPosition = positions.map((batch) => {
    const [left, right] = [regularisers(batch.map(([a]) => a)), regularisers(batch.map(([, b]) => b))];
    const invariance = mean(batch.map(([a, b]) => distance(a, b) / DM));
    const [x, y] = [batch.map(([a]) => a), batch.map(([, b]) => b)];
    return [invariance, mean([left[0], right[0]]), mean([left[1], right[1]]), contrast(x, y, temperature)];
  });
  return TERMS.map((_, term) => term).map((term) => mean(perPosition.map((terms) => terms[term]!)));
}

function reference(views: readonly View[], config: LossConfig) {
  const { alpha, numMatches, featureMatches, matches = 'both', weights, localWeights = weights } = config;
  const pairs = [0, 1].flatMap((i) => views.map((_, j) => [i, j] as const).filter(([a, b]) => a !== b));
  const [scale, localScale] = [weights, localWeights].map((w) => weightsOf(w, config));
  const temperature = config.simclr?.temperature ?? 1;
  const statistics = views.map(({ embedding }) => regularisers(rowsOf(embedding, 0, B, D)));
  const global = [
    mean(pairs.map(([i, j]) => distance(views[i]!.embedding, views[j]!.embedding) / (B * D))),
    mean(statistics.map(([v]) => v)),
    mean(statistics.map(([, c]) => c)),
    mean(
      pairs.map(([i, j]) =>
        contrast(rowsOf(views[i]!.embedding, 0, B, D), rowsOf(views[j]!.embedding, 0, B, D), temperature),
      ),
    ),
  ].map((value, term) => value * scale![term]!);
  const perPair = pairs.map(([i, j]) => {
    const [a, b] = [views[i]!, views[j]!];
    const features = featureMatches === 'all' ? [a.cells, b.cells] : numMatches;
    const kinds = (['locations', 'maps'] as const).map((kind) => {
      const [there, back] = kind === 'maps' ? features : numMatches;
      const [x, y] = [direction(a, b, kind, there!, temperature), direction(b, a, kind, back!, temperature)];
      return x.map((value, term) => (value + y[term]!) / 2);
    });
    const wanted = { both: kinds, location: kinds.slice(0, 1), feature: kinds.slice(1) }[matches];
    return TERMS.map((_, term) => wanted.reduce((total, kind) => total + kind[term]!, 0));
  });
  const local = TERMS.map((_, term) => mean(perPair.map((terms) => terms[term]!)) * localScale![term]!);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b);
  return { global, local, total: alpha * sum(global) + (1 - alpha) * sum(local) };
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
      const [actual, expected] = [await loss(views, config), reference(views, config)];
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

  it('with alpha 0 needs no embedding, with alpha 1 no maps and no locations', async () => {
    const views = randomViews([4, 4], 3);
    const expected = reference(views, paper);
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

  it('refuses more matches than cells when the graph is built', () => {
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
