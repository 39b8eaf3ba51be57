/**
 * Measures the service at twice its capacity. A closed loop that keeps the service busy gives the capacity. Then calls arrive
 * at random times, at twice the capacity measured last. The two loads alternate in short windows, and each pair of
 * neighbouring windows gives one ratio. The speed of a virtual machine varies by more than the effect measured here, but
 * neighbouring windows have the same speed.
 *
 * Targets:
 * - Goodput is at least 0.95 of the capacity (mean of the ratios).
 * - The p99 latency of accepted calls is bounded by the queue: by the time for --queue-images images and the running ones at
 *   the measured goodput, plus a quarter, because runs do not all take the same time.
 *
 * The load generator shares the cores with the service. Twice as many calls cost it twice as much time, which the service
 * then lacks. `measured` is the ratio of the rates. `withoutGenerator` divides it by the ratio of the cores that the generator
 * leaves to the service.
 *
 *   node dist/scripts/bench/serviceOverload.js [--network convnext_atto] [--queue-images 32] [--seconds 5] [--pairs 10]
 *     [-- FLAGS OF SERVE]
 *
 * --network takes another architecture, instead of ConvNeXt-atto.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sumCodes } from '../../src/bench/bench.js';
import { startChild } from '../../src/bench/child.js';
import type { Load } from '../../src/bench/load.js';
import type { GeneratedWindow } from '../../src/bench/loadProcess.js';
import { madePictures } from '../../src/bench/pictures.js';
import { type ServiceCpu, serviceCpuBetween, threadCpu } from '../../src/bench/processCpu.js';
import { median, quantile } from '../../src/bench/quantile.js';
import { imagesRun } from '../../src/bench/serviceMetrics.js';
import { startService } from '../../src/bench/serviceProcess.js';
import { createClient } from '../../src/client/client.js';
import { bootstrapInterval } from '../../src/evaluate/bootstrap.js';
import { networkFolder } from './randomNetwork.js';

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    network: { type: 'string', default: 'convnext_atto' },
    'queue-images': { type: 'string', default: '32' },
    seconds: { type: 'string', default: '5' },
    pairs: { type: 'string', default: '10' },
  },
});
/** Callers of the closed loop that keeps the service busy. */
const CALLERS = 16;
/** Minimum number of seconds of a window before its measurement starts. */
const RAMP = 1;
const queueImages = Number(values['queue-images']);
const seconds = Number(values.seconds);
const cores = availableParallelism();
const rounded = (value: number) => Number(value.toPrecision(3));

interface Window extends GeneratedWindow {
  /** Images a second. */
  readonly rate: number;
  /** Processor time of the generator divided by the duration, in cores. */
  readonly generatorCores: number;
  readonly serviceCpu: ServiceCpu;
  /** Images that ran while `serviceCpu` was measured. This includes images before and after the measured window. */
  readonly images: number;
}

const sumOf = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0);
const mean = (list: readonly number[]) => sumOf(list) / list.length;

/** Mean of the ratios and its 95 % interval. */
function summary(ratios: readonly number[]) {
  return { mean: rounded(mean(ratios)), interval: bootstrapInterval(ratios).map(rounded) };
}

/** Processor milliseconds per image by part of the service, and the cores that the generator used. */
function cpu(windows: readonly Window[]) {
  const images = sumOf(windows.map((window) => window.images));
  const perImage = (part: keyof ServiceCpu) =>
    rounded((sumOf(windows.map(({ serviceCpu }) => serviceCpu[part])) * 1e3) / images);
  return {
    msPerImage: { main: perImage('main'), otherThreads: perImage('otherThreads'), workers: perImage('workers') },
    generatorCores: rounded(mean(windows.map(({ generatorCores }) => generatorCores))),
  };
}

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-overload-'));
try {
  const model = await networkFolder(values.network, scratch);
  const service = await startService([
    ...['--model', model, '--queue-images', String(queueImages), '--log-level', 'info'],
    ...serveFlags,
  ]);
  const generator = startChild(new URL('../../src/bench/loadProcess.js', import.meta.url));
  try {
    const client = createClient({ address: service.address });
    const { limits, models } = await client.serverInfo();
    await client.close();
    const runningImages = models[0]!.workers * limits.get('batch_images')!.value;
    await generator.ask({
      kind: 'open',
      target: {
        address: service.address,
        method: 'Embed',
        images: await madePictures(),
        deadlineMs: 60_000,
        // One connection carries 128 calls at a time. Further calls would wait in the generator.
        connections: 8,
      },
    });

    const measure = async (load: Load, ramp: number): Promise<Window> => {
      const ran = await imagesRun(service.metricsAddress);
      const before = await threadCpu(service.pid);
      const window = await generator.ask<GeneratedWindow>({ kind: 'window', load, lengths: { ramp, seconds } });
      const serviceCpu = serviceCpuBetween(service.pid, before, await threadCpu(service.pid));
      const images = (await imagesRun(service.metricsAddress)) - ran;
      const rate = window.completed / window.seconds;
      console.error(`${load.kind}: ${rate.toFixed(1)} images/s`);
      return { ...window, rate, generatorCores: window.cpuSeconds / (ramp + seconds), serviceCpu, images };
    };
    const closed: Window[] = [];
    const open: Window[] = [];
    const measureClosed = async () => void closed.push(await measure({ kind: 'closed', concurrency: CALLERS }, RAMP));
    const measureOpen = async () => {
      const { rate } = closed.at(-1)!;
      // The queue is full after this time.
      const ramp = RAMP + queueImages / rate;
      open.push(await measure({ kind: 'open', rate: 2 * rate, seed: open.length }, ramp));
    };
    // Warm-up: afterwards both processes have compiled their code.
    await measureClosed();
    await measureOpen();
    closed.length = 0;
    open.length = 0;
    await measureClosed();
    // The order is closed open | open closed | closed open ..., so that drift favours neither load.
    for (let pair = 0; pair < Number(values.pairs); pair++) {
      if (pair % 2 === 0) {
        if (pair > 0) await measureClosed();
        await measureOpen();
      } else {
        await measureOpen();
        await measureClosed();
      }
    }
    const remainingCores = ({ generatorCores }: Window) => cores - generatorCores;
    const pairs = open.map((window, i) => ({ open: window, closed: closed[i]! }));
    const measured = pairs.map((pair) => pair.open.rate / pair.closed.rate);
    const withoutGenerator = pairs.map(
      (pair, i) => measured[i]! / (remainingCores(pair.open) / remainingCores(pair.closed)),
    );
    const p99ToBound = open.map(
      ({ latencies, rate }) => quantile(latencies, 0.99) / (((queueImages + runningImages) / rate) * 1e3),
    );
    console.log(
      JSON.stringify(
        {
          network: values.network,
          serveFlags,
          capacity: closed.map(({ rate }) => rounded(rate)),
          goodput: open.map(({ rate }) => rounded(rate)),
          codes: sumCodes(open),
          measured: summary(measured),
          withoutGenerator: summary(withoutGenerator),
          target: 0.95,
          met: mean(withoutGenerator) >= 0.95,
          cpu: { capacity: cpu(closed), overload: cpu(open) },
          latencyMs: Object.fromEntries(
            [0.5, 0.9, 0.99].map((share) => [
              `p${share * 100}`,
              rounded(median(open.map(({ latencies }) => quantile(latencies, share)))),
            ]),
          ),
          p99ToBound: summary(p99ToBound),
          bounded: mean(p99ToBound) <= 1.25,
        },
        null,
        1,
      ),
    );
  } finally {
    await generator.close();
    await service.stop();
  }
} finally {
  await rm(scratch, { recursive: true });
}
