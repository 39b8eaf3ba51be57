/**
 * Measures the images a second of the service as a ratio to the raw session, from JPEG files, for a ResNet-50 and a ConvNeXt-atto with
 * random weights, as `npx vicregl bench` does. Service, load generator and raw sessions are separate
 * processes on the same cores. The measurements alternate. Targets: 0.95 and 0.85 of one raw session, at the best concurrency.
 *
 *   node dist/scripts/bench/serviceTargets.js [--networks resnet50,convnext_atto] [--seconds 3] [--max-windows 5]
 *     [--concurrency 2,4,8,16] [--method Embed] [-- FLAGS OF SERVE]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bench, type LoadReport } from '../../src/bench/bench.js';
import { machineName } from '../../src/bench/machine.js';
import type { BenchMethod } from '../../src/bench/methods.js';
import { madePictures } from '../../src/bench/pictures.js';
import { type ServiceCpu, serviceCpuBetween, threadCpu, treeCpuSeconds } from '../../src/bench/processCpu.js';
import { fastestRaw, rawForms } from '../../src/bench/raw.js';
import { imagesRun, metricsText } from '../../src/bench/serviceMetrics.js';
import { startService } from '../../src/bench/serviceProcess.js';
import { openModelFolder } from '../../src/models/folder.js';
import { networkFolder } from './randomNetwork.js';

const TARGETS: Readonly<Record<string, number>> = { resnet50: 0.95, convnext_atto: 0.85 };

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    networks: { type: 'string', default: 'resnet50,convnext_atto' },
    seconds: { type: 'string', default: '3' },
    'max-windows': { type: 'string', default: '5' },
    concurrency: { type: 'string', default: '2,4,8,16' },
    method: { type: 'string', default: 'Embed' },
  },
});
const seconds = Number(values.seconds);
const rounded = (value: number) => Number(value.toPrecision(3));

/** Processor milliseconds per image by part of the service. */
function perImage(cpu: ServiceCpu, images: number) {
  return Object.fromEntries(Object.entries(cpu).map(([part, value]) => [part, rounded((value * 1e3) / images)]));
}

/** p99 of the delay of the event loop in milliseconds, from the metrics of the service. */
async function eventLoopLag(metricsAddress: string): Promise<number | undefined> {
  const value = /^vicregl_event_loop_lag_p99_seconds (\S+)$/m.exec(await metricsText(metricsAddress))?.[1];
  return value === undefined ? undefined : rounded(Number(value) * 1e3);
}

const scratch = await mkdtemp(join(tmpdir(), 'vicregl-targets-'));
try {
  for (const network of values.networks.split(',')) {
    const dir = await networkFolder(network, scratch);
    const service = await startService(['--model', dir, '--log-level', 'info', ...serveFlags]);
    const folder = await openModelFolder(dir);
    const forms = rawForms(service.provider);
    const one = await fastestRaw(
      folder,
      service.provider,
      forms.filter(({ sessions }) => sessions === 1),
      seconds,
    );
    const perCore = forms.filter(({ sessions }) => sessions > 1);
    const many = perCore.length > 0 ? await fastestRaw(folder, service.provider, perCore, seconds) : undefined;
    const raw = [one.side, ...(many ? [many.side] : [])];
    try {
      const before = await threadCpu(service.pid);
      const reports = await bench({
        target: {
          address: service.address,
          method: values.method as BenchMethod,
          images: await madePictures(),
          deadlineMs: 60_000,
          connections: 1,
        },
        loads: values.concurrency.split(',').map((count) => ({ kind: 'closed', concurrency: Number(count) }) as const),
        lengths: { ramp: 0.5, seconds },
        maxWindows: Number(values['max-windows']),
        raw,
        serviceCpu: () => treeCpuSeconds(service.pid),
        progress: (text) => console.error(`${network}, ${text}`),
      });
      const lag = await eventLoopLag(service.metricsAddress);
      const after = await threadCpu(service.pid);
      const images = await imagesRun(service.metricsAddress);
      const raws = raw.map((side) => side.measurement());
      const best = reports.reduce((a: LoadReport, b) => (b.imagesPerSecond > a.imagesPerSecond ? b : a));
      const ratio = best.imagesPerSecond / raws[0]!.imagesPerSecond;
      console.log(
        JSON.stringify(
          {
            network,
            machine: machineName(),
            raw: raws,
            rawTried: [...one.tried, ...(many?.tried ?? [])],
            loads: reports,
            best: best.load,
            ratio: rounded(ratio),
            target: TARGETS[network],
            met: TARGETS[network] === undefined ? undefined : ratio >= TARGETS[network],
            ratioToSessionPerCore: raws[1] && rounded(best.imagesPerSecond / raws[1].imagesPerSecond),
            serviceCpuMsPerImage: perImage(serviceCpuBetween(service.pid, before, after), images),
            eventLoopLagP99Ms: lag,
          },
          null,
          1,
        ),
      );
    } finally {
      for (const side of raw) await side.close();
      await service.stop();
    }
  }
} finally {
  await rm(scratch, { recursive: true });
}
