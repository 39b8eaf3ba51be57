/**
 * What traces cost: images a second and processor time per image of a service that exports the spans of a part of its calls, beside one
 * that does not. Both serve the bundled model; windows of load alternate between them, and the medians are compared. A collector made of
 * OTLP's public contract receives the spans in a process of its own.
 *
 * On a machine that is busy with other work the rates differ by more than what is measured. So it also measures the processor time of
 * the spans alone, of as many calls as `--calls` says, and prints it as a share of the processor time of an image.
 *
 *   node dist/scripts/bench/tracingOverhead.js [--rounds 8] [--seconds 4] [--ratio 0.1] [--concurrency 4] [--calls 5000] [--instant]
 *
 * --instant: an engine that answers at once, so that the service itself remains. It shows the cost per call, not that of a service in use.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { startChild } from '../../src/bench/child.js';
import type { GeneratedWindow } from '../../src/bench/loadProcess.js';
import { madePictures } from '../../src/bench/pictures.js';
import { treeCpuSeconds } from '../../src/bench/processCpu.js';
import { median } from '../../src/bench/quantile.js';
import { type ServiceProcess, startLoggingProcess, startService } from '../../src/bench/serviceProcess.js';
import { grpcAttributes } from '../../src/serve/tracing/attributes.js';
import { openTracing } from '../../src/serve/tracing/openTracing.js';
import { startOtlpCollector } from '../../test/support/otlpCollector.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '4' },
    ratio: { type: 'string', default: '0.1' },
    concurrency: { type: 'string', default: '4' },
    calls: { type: 'string', default: '5000' },
    instant: { type: 'boolean', default: false },
    collector: { type: 'boolean', default: false },
  },
});
if (values.collector) await collect();

/** The process of the collector: sends its URL to its parent, and at the end how many spans it has. */
async function collect(): Promise<never> {
  const { grpc, spans } = await startOtlpCollector();
  process.send!(grpc);
  process.on('message', () =>
    process.send!({ spans: spans.length, serverSpans: spans.filter(({ kind }) => kind === 2).length }),
  );
  await once(process, 'disconnect');
  process.exit();
}

const lengths = { ramp: 0.5, seconds: Number(values.seconds) };
const instant = fileURLToPath(new URL('./instantService.js', import.meta.url));

const start = (): Promise<ServiceProcess> =>
  values.instant ? startLoggingProcess(process.execPath, [instant]) : startService([]);

const collector = fork(fileURLToPath(import.meta.url), ['--collector']);
const [endpoint] = (await once(collector, 'message')) as [string];
const images = await madePictures();
const plain = await start();
Object.assign(process.env, {
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
  OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
  OTEL_TRACES_SAMPLER_ARG: values.ratio,
});
const traced = await start();

async function openSide(service: ServiceProcess) {
  const generator = startChild(new URL('../../src/bench/loadProcess.js', import.meta.url));
  const target = { address: service.address, method: 'Embed', deadlineMs: 60_000, connections: 1, images } as const;
  await generator.ask({ kind: 'open', target });
  const rates: number[] = [];
  const cpuMs: number[] = [];
  let calls = 0;
  return {
    ...{ service, generator, rates, cpuMs },
    get calls() {
      return calls;
    },
    async window(counts: boolean): Promise<void> {
      const before = await treeCpuSeconds(service.pid);
      const load = { kind: 'closed', concurrency: Number(values.concurrency) } as const;
      const { completed, seconds } = await generator.ask<GeneratedWindow>({ kind: 'window', load, lengths });
      const spent = ((await treeCpuSeconds(service.pid)) ?? Number.NaN) - (before ?? Number.NaN);
      calls += completed;
      if (!counts) return;
      rates.push(completed / seconds);
      cpuMs.push((spent * 1e3) / (completed * (1 + lengths.ramp / lengths.seconds)));
    },
  };
}

const sides = { plain: await openSide(plain), traced: await openSide(traced) };
const orders = [
  [sides.plain, sides.traced],
  [sides.traced, sides.plain],
];
for (let round = -1; round < Number(values.rounds); round++) {
  // The first round warms up.
  for (const side of orders[Math.abs(round) % 2]!) await side.window(round >= 0);
}
for (const { generator, service } of Object.values(sides)) {
  await generator.close();
  await service.stop();
}
collector.send('how many');
const [received] = (await once(collector, 'message')) as [object];

/** Processor time in ms of the spans of one call with one image, exported or not sampled. */
async function spanCost(): Promise<number> {
  process.env['OTEL_BSP_MAX_QUEUE_SIZE'] = '100000';
  const tracing = (await openTracing(process.env, pino({ level: 'warn' }), '0'))!;
  const calls = Number(values.calls);
  const trace = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const span = tracing.call({
        name: 'vicregl.v1.VicreglService/Embed',
        start: performance.now(),
        headers: {},
        attributes: () => grpcAttributes('/vicregl.v1.VicreglService/Embed', 'b3c1', { remoteAddress: '127.0.0.1' }),
      });
      for (const phase of ['receive', 'wait', 'decode', 'queue'] as const) span.phase(phase, 0);
      const run = tracing.run({ calls: [{ trace: span }], model: 'bundled@1' });
      span.phase('inference', 0, run?.ids);
      run?.end(0);
      for (const phase of ['encode', 'encode'] as const) span.phase(phase, 0);
      span.end({ code: 'OK' });
    }
  };
  trace(1000);
  await delay(6000);
  const before = process.cpuUsage();
  for (let i = 0; i < calls; i += 100) {
    trace(100);
    await delay(10);
  }
  await tracing.close();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3 / calls;
}
const costMs = await spanCost();
collector.disconnect();

/** The median of the rounds' ratios, and their range. Each round's windows follow each other, so that both meet the same machine. */
function ratios(of: (side: typeof sides.plain) => readonly number[]) {
  const each = of(sides.traced).map((value, i) => value / of(sides.plain)[i]!);
  const rounded = (value: number) => Number(value.toFixed(4));
  // Of the geometric mean, by the normal distribution: says whether the rounds can tell the ratio from 1 at all.
  const logs = each.map(Math.log);
  const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length;
  const variance = logs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (logs.length - 1);
  const half = 1.96 * Math.sqrt(variance / logs.length);
  return {
    median: rounded(median(each)),
    interval95: [mean - half, mean + half].map((value) => rounded(Math.exp(value))),
    least: rounded(Math.min(...each)),
    most: rounded(Math.max(...each)),
  };
}
console.log(
  JSON.stringify(
    {
      sampling: Number(values.ratio),
      calls: sides.traced.calls,
      received,
      imagesPerSecond: { plain: median(sides.plain.rates), traced: median(sides.traced.rates) },
      cpuMsPerImage: { plain: median(sides.plain.cpuMs), traced: median(sides.traced.cpuMs) },
      ratioOfImagesPerSecond: ratios(({ rates }) => rates),
      ratioOfCpuPerImage: ratios(({ cpuMs }) => cpuMs),
      spansAlone: {
        cpuMsPerCall: Number(costMs.toFixed(4)),
        shareOfImage: Number((costMs / median(sides.plain.cpuMs)).toFixed(5)),
      },
      target: 'less than 2 % fewer images a second',
    },
    null,
    1,
  ),
);
