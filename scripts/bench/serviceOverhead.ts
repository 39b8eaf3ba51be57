/**
 * Measures the cost of the service itself, with an engine that answers immediately, for a JPEG file of 30 kB and for an image
 * that costs almost nothing to decode.
 *
 * At concurrency 1, `ownMs` is the time from the arrival of the message until the answer is passed to grpc-js, minus the time
 * of decoding. Target: p50 below 1 ms. It also measures the requests a second, at concurrency 1 and 16, and the processor
 * time of the main thread and the decoding threads.
 *
 *   node dist/scripts/bench/serviceOverhead.js [--seconds 4] [--prof DIR]
 *
 * --prof writes a CPU profile of the service's main thread (Chrome's format).
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { startChild } from '../../src/bench/child.js';
import type { GeneratedWindow } from '../../src/bench/loadProcess.js';
import { madePictures } from '../../src/bench/pictures.js';
import { threadCpu } from '../../src/bench/processCpu.js';
import { quantile } from '../../src/bench/quantile.js';
import { startLoggingProcess } from '../../src/bench/serviceProcess.js';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '4' }, prof: { type: 'string' } } });
const lengths = { ramp: 1, seconds: Number(values.seconds) };
const rounded = (value: number) => Number(value.toPrecision(3));
const script = fileURLToPath(new URL('./instantService.js', import.meta.url));
const profile = values.prof === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.prof}`];

const percentiles = (list: ArrayLike<number>) => ({
  p50: rounded(quantile(list, 0.5)),
  p90: rounded(quantile(list, 0.9)),
  p99: rounded(quantile(list, 0.99)),
});

const service = await startLoggingProcess(process.execPath, [...profile, script]);
const generator = startChild(new URL('../../src/bench/loadProcess.js', import.meta.url));
try {
  const images = await madePictures();
  const target = { address: service.address, method: 'Embed', deadlineMs: 60_000, connections: 1 } as const;
  const results = [];
  for (const { image, pixels } of [
    { image: 'JPEG, 30 kB', pixels: images },
    // It costs almost nothing to decode, so that the service itself remains.
    { image: 'JPEG of one colour, 256 x 256', pixels: [await plainPicture()] },
  ]) {
    await generator.ask({ kind: 'open', target: { ...target, images: pixels } });
    for (const concurrency of [1, 16]) {
      const before = await threadCpu(service.pid);
      const window = await generator.ask<GeneratedWindow>({
        kind: 'window',
        load: { kind: 'closed', concurrency },
        lengths,
      });
      const after = await threadCpu(service.pid);
      const { total, decode, ...others } = window.phases as Record<string, Float64Array>;
      const perRequest = (main: boolean) => {
        const sum = (list: typeof before) =>
          list
            .filter(({ thread }) => (thread === service.pid) === main)
            .reduce((all, { cpuSeconds }) => all + cpuSeconds, 0);
        return rounded(((sum(after) - sum(before)) * 1e3) / (window.completed * (1 + lengths.ramp / lengths.seconds)));
      };
      results.push({
        image,
        concurrency,
        requestsPerSecond: rounded(window.completed / window.seconds),
        latencyMs: percentiles(window.latencies),
        // At a higher concurrency, this figure would include the queue of the decoding threads.
        ...(concurrency === 1 && { ownMs: percentiles(total!.map((ms, i) => ms - decode![i]!)) }),
        phasesMs: Object.fromEntries(
          Object.entries({ decode: decode!, ...others }).map(([phase, list]) => [phase, percentiles(list)]),
        ),
        cpuMsPerRequest: { mainThread: perRequest(true), decodingThreads: perRequest(false) },
      });
    }
  }
  console.log(
    JSON.stringify(
      { results, target: 'ownMs p50 < 1 ms at concurrency 1', met: (results[0]!.ownMs?.p50 ?? Number.NaN) < 1 },
      null,
      1,
    ),
  );
} finally {
  await generator.close();
  await service.stop();
}

async function plainPicture(): Promise<Buffer> {
  return sharp({ create: { width: 256, height: 256, channels: 3, background: '#456789' } })
    .jpeg()
    .toBuffer();
}
