/**
 * The service at twice its capacity. Capacity is the rate of a closed loop that keeps it busy; then calls come at random
 * times at 2x that rate; both by turns. Targets: goodput >= 0.95 of the capacity, and the p99 of what is accepted is bounded
 * by the queue: the time in which --queue-images images and those that run are done at the measured goodput, and a quarter
 * more, as runs do not all take the same time.
 *
 * The load generator shares the cores with the service, and twice the calls cost it twice the time, which the service then
 * lacks: `goodputOfCapacity` is as measured, `lessGenerator` over the capacity of the cores that the generator left.
 *
 *   node dist/scripts/bench/serviceOverload.js [--network resnet50] [--queue-images 32] [--seconds 5] [--rounds 3]
 *     [-- FLAGS OF SERVE]
 *
 * --network serves random weights of that architecture in place of the bundled model.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bench, type LoadReport } from '../../src/bench/bench.js';
import { madePictures } from '../../src/bench/pictures.js';
import { median } from '../../src/bench/quantile.js';
import { startService } from '../../src/bench/serviceProcess.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { createClient } from '../../src/client/client.js';
import { writeRandomNetwork } from './randomNetwork.js';

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    network: { type: 'string' },
    'queue-images': { type: 'string', default: '32' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
  },
});
/** Callers of the closed loop that keeps the service busy. */
const CALLERS = 16;
const rounded = (value: number) => Number(value.toPrecision(3));
const queueImages = Number(values['queue-images']);
const scratch = await mkdtemp(join(tmpdir(), 'vicregl-overload-'));
try {
  let model = bundledModelFolder;
  if (values.network !== undefined) {
    model = join(scratch, values.network);
    await writeRandomNetwork(model, values.network);
  }
  const service = await startService([
    ...['--model', model, '--queue-images', String(queueImages), '--log-level', 'info'],
    ...serveFlags,
  ]);
  try {
    const plan = {
      target: {
        address: service.address,
        method: 'Embed',
        images: await madePictures(),
        deadlineMs: 60_000,
        // One carries 128 calls at a time; more would wait in the generator.
        connections: 8,
      },
      lengths: { ramp: 1, seconds: Number(values.seconds) },
      maxWindows: 3,
      progress: (text: string) => console.error(text),
    } as const;
    const client = createClient({ address: service.address });
    const { limits, models } = await client.serverInfo();
    await client.close();
    const running = models[0]!.workers * limits.get('batch_images')!.value;

    const measure = async (load: Parameters<typeof bench>[0]['loads'][number]) =>
      (await bench({ ...plan, loads: [load] }))[0]!;
    const closed: LoadReport[] = [await measure({ kind: 'closed', concurrency: CALLERS })];
    const open: LoadReport[] = [];
    const rate = 2 * closed[0]!.requestsPerSecond;
    for (let round = 1; round <= Number(values.rounds); round++) {
      open.push(await measure({ kind: 'open', rate, seed: round }));
      closed.push(await measure({ kind: 'closed', concurrency: CALLERS }));
    }
    const perSecond = (reports: readonly LoadReport[]) => median(reports.map((report) => report.requestsPerSecond));
    const generatorCores = (reports: readonly LoadReport[]) =>
      median(reports.map((report) => (report.cpuMsPerImage.generator * report.imagesPerSecond) / 1e3));
    const cores = availableParallelism();
    const goodput = perSecond(open) / perSecond(closed);
    const left = (cores - generatorCores(open)) / (cores - generatorCores(closed));
    const boundMs = ((queueImages + running) / perSecond(open)) * 1e3;
    const p99 = median(open.map(({ latencyMs }) => latencyMs.p99));
    console.log(
      JSON.stringify(
        {
          network: values.network ?? 'the bundled model',
          capacity: closed.map(({ requestsPerSecond }) => rounded(requestsPerSecond)),
          offered: rounded(rate),
          goodput: open.map(({ requestsPerSecond }) => rounded(requestsPerSecond)),
          codes: open.map(({ codes }) => codes),
          goodputOfCapacity: rounded(goodput),
          generatorCores: { capacity: rounded(generatorCores(closed)), overload: rounded(generatorCores(open)) },
          lessGenerator: rounded(goodput / left),
          target: 0.95,
          met: goodput / left >= 0.95,
          latencyMs: open.map(({ latencyMs }) => latencyMs),
          boundMs: rounded(boundMs),
          p99OfBound: rounded(p99 / boundMs),
          bounded: p99 <= 1.25 * boundMs,
        },
        null,
        1,
      ),
    );
  } finally {
    await service.stop();
  }
} finally {
  await rm(scratch, { recursive: true });
}
