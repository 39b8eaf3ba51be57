/**
 * Compares dense matching with the matrix product of the same size.
 *
 *   node dist/scripts/bench/matching.js [--cells 4096] [--channels 2048] [--threads 2] [--runs 5]
 *   node dist/scripts/bench/matching.js --small [--threads 2] [--runs 9]
 *
 * The product is one MatMul [cells, channels] x [channels, cells] of ONNX Runtime with the same number of threads. The runs of
 * both alternate. Times are medians. Memory is the growth of the largest resident set by the search, before the product ran.
 *
 * With --small, it compares the loops on the calling thread with an engine's worker (copies and messages included), for
 * several small sizes.
 */

import { parseArgs } from 'node:util';
import { median } from '../../src/bench/quantile.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { nearestNeighbours } from '../../src/match/nearest.js';
import { openNearestSession, searchNearest } from '../../src/match/tiled/search.js';
import { openModelFolder } from '../../src/models/folder.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { matmul } from '../../src/onnx/ops/linear.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { stream } from '../../src/tensor/random.js';
import { runInSlices } from '../../src/tensor/slices.js';
import { tensor } from '../../src/tensor/tensor.js';

const { values } = parseArgs({
  options: {
    cells: { type: 'string', default: '4096' },
    channels: { type: 'string', default: '2048' },
    threads: { type: 'string', default: '2' },
    runs: { type: 'string' },
    small: { type: 'boolean', default: false },
  },
});
const threads = Number(values.threads);
const { signal } = new AbortController();

function vectors(cells: number, channels: number, seed: number): Float32Array {
  const random = stream(seed, 'matching');
  return Float32Array.from({ length: cells * channels }, () => random.normal());
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function openProduct(cells: number, channels: number, a: Float32Array, b: Float32Array) {
  const graph = new Graph();
  const left = graph.input('a', 'float32', [cells, channels]);
  graph.output('y', matmul(left, graph.input('b', 'float32', [channels, cells])));
  const session = await createSession(encodeModel(graph), { threads, spinning: false });
  const feeds = {
    a: toOrt(tensor('float32', [cells, channels], a)),
    b: toOrt(tensor('float32', [channels, cells], b)),
  };
  return {
    run: async () => (await session.run(feeds))['y']!.dispose(),
    release: () => session.release(),
  };
}

async function compareWithProduct(): Promise<void> {
  const [cells, channels, runs] = [Number(values.cells), Number(values.channels), Number(values.runs ?? 5)];
  const pair = { a: vectors(cells, channels, 1), b: vectors(cells, channels, 2), channels };
  const session = await openNearestSession(threads);
  const before = process.memoryUsage.rss();
  const search = () => searchNearest(session, pair, signal);
  await search();
  const added = process.resourceUsage().maxRSS * 1024 - before;
  const product = await openProduct(cells, channels, pair.a, pair.b);
  await product.run();
  const times: { search: number[]; product: number[] } = { search: [], product: [] };
  for (let i = 0; i < runs; i++) {
    times.product.push(await timed(product.run));
    times.search.push(await timed(search));
  }
  await session.release();
  await product.release();
  const [searched, multiplied] = [median(times.search), median(times.product)];
  const rate = (ms: number) => ((2 * cells * cells * channels) / ms / 1e6).toFixed(1);
  console.log(`${cells} x ${cells} cells x ${channels} channels, ${threads} threads, medians of ${runs} runs`);
  console.log(`matrix product   ${multiplied.toFixed(0)} ms, ${rate(multiplied)} GFLOP/s`);
  console.log(`nearest, 2 ways  ${searched.toFixed(0)} ms, ${rate(searched)} GFLOP/s`);
  console.log(`speed of the search: ${(multiplied / searched).toFixed(2)} of the product`);
  const maps = (2 * cells * channels * 4) / 2 ** 20;
  console.log(
    `memory: ${(added / 2 ** 20).toFixed(0)} MiB in addition to the two maps (${maps.toFixed(0)} MiB together)`,
  );
}

async function compareSmallSizes(): Promise<void> {
  const runs = Number(values.runs ?? 9);
  const engine = await createOnnxEngine(await openModelFolder(bundledModelFolder), {
    device: 'cpu',
    threads,
  });
  console.log('| cells | channels | million products | loops, ms | worker, ms |');
  console.log('| --- | --- | --- | --- | --- |');
  for (const [cells, channels] of [
    [49, 128],
    [49, 512],
    [49, 2048],
    [196, 128],
    [196, 512],
    [196, 2048],
    [784, 128],
    [784, 512],
  ] as const) {
    const pair = { a: vectors(cells, channels, 1), b: vectors(cells, channels, 2), channels };
    const sides = {
      loops: () => runInSlices(nearestNeighbours(pair), signal),
      worker: () => engine.nearest(pair, signal),
    };
    const times: Record<keyof typeof sides, number[]> = { loops: [], worker: [] };
    for (let i = 0; i <= runs; i++) {
      for (const side of ['loops', 'worker'] as const) {
        const elapsed = await timed(sides[side]);
        if (i > 0) times[side].push(elapsed);
      }
    }
    const products = ((cells * cells * channels) / 1e6).toFixed(1);
    console.log(
      `| ${cells} | ${channels} | ${products} | ${median(times.loops).toFixed(2)} | ${median(times.worker).toFixed(2)} |`,
    );
  }
  await engine.close();
}

await (values.small ? compareSmallSizes() : compareWithProduct());
