/**
 * Images per second and latency of the service beside the raw session's, in one run.
 *
 *   node dist/scripts/bench/service.js [--model DIR] [--seconds 5] [--rounds 5] [--device cpu] [--threads N]
 *
 * The service runs in a process of its own and so does the load generator; between them is a real socket, over which
 * go JPEG files with a short side of 256 pixels. The raw session is backbone.onnx run in a loop by onnxruntime-node in
 * this process, on pixels that are ready: no decoding, no resizing, no transport; once with threads that wait busily
 * (ONNX Runtime's default) and once with threads that sleep (as in the service). The sides take turns: each round
 * measures every configuration for --seconds. Rates are medians over the rounds, latencies are of all requests.
 * Prints JSON; `ratio` is the service's rate over the faster raw session's at batch size 1 (concurrency 1) or 8 (8).
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { openModelFolder } from '../../src/models/folder.js';
import { createSession, toOrt } from '../../src/onnx/session.js';
import { tensor } from '../../src/tensor/tensor.js';
import type { LoadMethod, LoadRequest, LoadResult } from './serviceLoad.js';
import { startService } from './serviceProcess.js';
import { median, quantile } from './statistics.js';

const PHOTOS = ['astronaut.jpg', 'chelsea.png', 'coffee.jpg'];
const SHORT_SIDE = 256;
const METHODS: readonly LoadMethod[] = ['Embed', 'ExtractFeatures'];
/** Requests under way, and images in a batch of the raw session. */
const SIZES = [1, 8] as const;

const { values } = parseArgs({
  options: {
    model: {
      type: 'string',
      default: fileURLToPath(new URL('../../../models/vicregl-convnext-atto', import.meta.url)),
    },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    device: { type: 'string', default: 'cpu' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const seconds = Number(values.seconds);
const rounded = (value: number) => Number(value.toPrecision(4));

async function jpegFiles(): Promise<string[]> {
  return Promise.all(
    PHOTOS.map(async (name) => {
      const path = fileURLToPath(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
      const file = await sharp(await readFile(path))
        .resize(SHORT_SIDE, SHORT_SIDE, { fit: 'outside' })
        .jpeg({ quality: 90 })
        .toBuffer();
      return file.toString('base64');
    }),
  );
}

async function load(request: LoadRequest): Promise<LoadResult> {
  const child = fork(fileURLToPath(new URL('./serviceLoad.js', import.meta.url)));
  const exited = once(child, 'exit');
  child.send(request);
  const answer = once(child, 'message') as Promise<[LoadResult]>;
  const result = await Promise.race([answer, exited.then(() => undefined)]);
  if (result === undefined) throw new Error('the load generator ended without a result');
  await exited;
  return result[0];
}

/** The model's own backbone on a batch of noise; images per second. */
async function openRaw(path: string, device: 'cpu' | 'cuda', side: number, spinning: boolean) {
  const session = await createSession(path, { device, threads: Number(values.threads), spinning });
  return {
    async measure(batch: number): Promise<number> {
      const pixels = Uint8Array.from({ length: batch * side * side * 3 }, () => Math.random() * 256);
      const feeds = { images: toOrt(tensor('uint8', [batch, side, side, 3], pixels)) };
      const run = async () => {
        const { representation } = await session.run(feeds, ['representation']);
        await representation!.getData();
        representation!.dispose();
      };
      await run();
      let images = 0;
      const start = performance.now();
      const end = start + seconds * 1e3;
      while (performance.now() < end) {
        await run();
        images += batch;
      }
      return images / ((performance.now() - start) / 1e3);
    },
    release: () => session.release(),
  };
}

/** Mean seconds of each phase of a call, from the service's own histograms. */
async function phaseMeans(metricsAddress: string): Promise<Record<string, number>> {
  const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
  const read = (kind: string) =>
    new Map(
      [...text.matchAll(new RegExp(`^vicregl_phase_duration_seconds_${kind}\\{(.*)\\} (\\S+)$`, 'gm'))].map(
        ([, labels, value]) => [labels!.replace(/(\w+)="(\w+)"/g, '$2').replace(',', ' '), Number(value)],
      ),
    );
  const counts = read('count');
  return Object.fromEntries(
    [...read('sum')].map(([name, sum]) => [name, rounded((sum / (counts.get(name) ?? 1)) * 1e3)]),
  );
}

const { manifest, graphPath } = await openModelFolder(values.model);
const service = await startService([
  ...['--model', values.model, '--device', values.device, '--threads', values.threads, '--log-level', 'info'],
]);
const raws = await Promise.all(
  [true, false].map(async (spinning) => ({
    spinning,
    session: await openRaw(graphPath('backbone')!, service.provider, manifest.preprocessing.crop, spinning),
  })),
);
try {
  const images = await jpegFiles();
  const rawLoops = SIZES.flatMap((batch) => raws.map((raw) => ({ ...raw, batch, rates: [] as number[] })));
  const rawRate = (size: number) =>
    Math.max(...rawLoops.filter(({ batch }) => batch === size).map(({ rates }) => median(rates)));
  const loads = METHODS.flatMap((method) =>
    SIZES.map((concurrency) => ({ method, concurrency, rates: [] as number[], latencies: [] as number[] })),
  );
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const size of SIZES) {
      for (const { session, batch, rates } of rawLoops) if (batch === size) rates.push(await session.measure(batch));
      for (const entry of loads.filter(({ concurrency }) => concurrency === size)) {
        const { method, concurrency } = entry;
        const result = await load({ address: service.address, method, concurrency, seconds, images });
        entry.rates.push(result.imagesPerSecond);
        for (const latency of result.latencies) entry.latencies.push(latency);
      }
    }
  }
  const report = {
    model: `${manifest.name} ${manifest.version}`,
    input: `${manifest.preprocessing.crop} x ${manifest.preprocessing.crop}`,
    provider: service.provider,
    threads: Number(values.threads),
    cpu: `${availableParallelism()} x ${cpus()[0]?.model.trim()}`,
    rounds: Number(values.rounds),
    seconds_each: seconds,
    raw: rawLoops.map(({ batch, spinning, rates }) => ({ batch, spinning, images_per_s: rounded(median(rates)) })),
    service: loads.map(({ method, concurrency, rates, latencies }) => ({
      method,
      concurrency,
      images_per_s: rounded(median(rates)),
      p50_ms: rounded(median(latencies)),
      p99_ms: rounded(quantile(latencies, 0.99)),
      requests: latencies.length,
      ratio: rounded(median(rates) / rawRate(concurrency)),
    })),
    phase_mean_ms: await phaseMeans(service.metricsAddress),
  };
  console.log(JSON.stringify(report, null, 2));
} finally {
  for (const { session } of raws) await session.release();
  await service.stop();
}
