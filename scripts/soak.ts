/**
 * Memory of the service under a mixed load for minutes: every method, malformed requests, calls that are given up, and reloads
 * of the model in the warm-up. The slope after the warm-up must stay below 1 MB a minute, and no worker that was replaced may
 * be left; the same run over a service that keeps 16 kB of every call must be caught, or the measurement could not see a leak.
 * Exit code 1 where either fails.
 *
 * To be run with the allocator of the image, LD_PRELOAD=.../libjemalloc.so.2: glibc's keeps what images and threads of other
 * sizes leave behind, and fills its gaps over ten minutes and more (docs/benchmarks.md).
 *
 *   node dist/scripts/soak.js [--minutes 5] [--warmup 1] [--control-minutes 2] [--concurrency 4] [-- FLAGS OF SERVE]
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import { treePids } from '../src/bench/processCpu.js';
import { median, quantile } from '../src/bench/quantile.js';
import { type ServiceProcess, startService } from '../src/bench/serviceProcess.js';
import { sendRaw } from '../test/support/malformed/sendRaw.js';
import { soakRequests } from './soak/requests.js';

const MOST_MB_PER_MINUTE = 1;
const SAMPLE_MS = 1000;
/** The model is reloaded so often in the warm-up; later, new workers would hide what old ones had kept. */
const RELOAD_SAMPLES = 10;

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '1' },
    'control-minutes': { type: 'string', default: '2' },
    concurrency: { type: 'string', default: '4' },
  },
});
const rounded = (value: number) => Number(value.toPrecision(3));

/**
 * Collects what is garbage every few seconds: V8 lets tens of megabytes of it stand for minutes, and what is to be seen is what
 * stays.
 */
const collect = 'setInterval(gc, 5000).unref();';

/** What leaks: an abort controller is made for every call. */
const leak = `const kept = [];
  globalThis.AbortController = class extends AbortController {
    constructor() {
      super();
      kept.push(Buffer.alloc(16384, 1));
    }
  };`;

/** Resident megabytes of the service with its workers. */
async function residentMb(service: ServiceProcess): Promise<number> {
  const pages = await Promise.all(
    (await treePids(service.pid)).map(async (pid) =>
      Number((await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '0 0')).split(' ')[1]),
    ),
  );
  return (pages.reduce((sum, count) => sum + count, 0) * 4096) / 1e6;
}

interface Sample {
  readonly minute: number;
  readonly mb: number;
}

/**
 * Megabytes a minute: the median slope between all pairs (Theil and Sen) of the lowest samples of every ten seconds, since
 * what garbage collection has not reached yet stands above them.
 */
function slope(samples: readonly Sample[]): number {
  const lowest = new Map<number, Sample>();
  for (const sample of samples) {
    const bin = Math.floor(sample.minute * 6);
    const before = lowest.get(bin);
    if (before === undefined || sample.mb < before.mb) lowest.set(bin, sample);
  }
  const points = [...lowest.values()];
  const slopes = points.flatMap((a, i) => points.slice(i + 1).map((b) => (b.mb - a.mb) / (b.minute - a.minute)));
  return median(slopes);
}

async function mixedLoad(address: string, until: number): Promise<Record<string, number>> {
  const channel = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const request = await soakRequests();
  const codes: Record<string, number> = {};
  let next = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() < until) {
      const { giveUpMs, ...message } = request(next++);
      const { code } = await sendRaw(channel, message, giveUpMs);
      codes[code] = (codes[code] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: Number(values.concurrency) }, loop));
  channel.close();
  return codes;
}

/** @returns slope after the warm-up, and what was asked */
async function soak(what: string, minutes: number, warmup: number) {
  const service = await startService(['--log-level', 'info', ...serveFlags]);
  const processesAtStart = (await treePids(service.pid)).length;
  const start = performance.now();
  const until = start + (minutes + warmup) * 60e3;
  const samples: Sample[] = [];
  try {
    const load = mixedLoad(service.address, until);
    while (performance.now() < until) {
      await delay(SAMPLE_MS);
      const sample = { minute: (performance.now() - start) / 60e3, mb: await residentMb(service) };
      samples.push(sample);
      if (samples.length % RELOAD_SAMPLES === 0 && sample.minute < warmup) process.kill(service.pid, 'SIGHUP');
      if (samples.length % 30 === 0)
        console.error(`${what}, minute ${sample.minute.toFixed(1)}: ${sample.mb.toFixed(1)} MB`);
    }
    const codes = await load;
    const processes = { first: processesAtStart, last: (await treePids(service.pid)).length };
    const after = samples.filter(({ minute }) => minute > warmup);
    return {
      what,
      minutes,
      calls: Object.values(codes).reduce((sum, count) => sum + count, 0),
      codes,
      processes,
      mb: {
        first: rounded(after[0]!.mb),
        last: rounded(after.at(-1)!.mb),
        most: rounded(
          quantile(
            after.map(({ mb }) => mb),
            1,
          ),
        ),
      },
      mbPerMinute: rounded(slope(after)),
    };
  } finally {
    await service.stop();
  }
}

/** Options of Node for the processes that are started next: a script that runs before their own. */
function preload(script: string): void {
  process.env['NODE_OPTIONS'] = `--expose-gc --import=data:text/javascript,${encodeURIComponent(script)}`;
}

preload(collect);
const service = await soak('service', Number(values.minutes), Number(values.warmup));
preload(collect + leak);
const control = await soak(
  'control that keeps 16 kB of every call',
  Number(values['control-minutes']),
  Number(values.warmup) / 2,
);
delete process.env['NODE_OPTIONS'];
const { processes } = service;
const met = service.mbPerMinute < MOST_MB_PER_MINUTE && processes.last === processes.first;
const caught = control.mbPerMinute >= MOST_MB_PER_MINUTE;
console.log(
  JSON.stringify(
    { runs: [service, control], limitMbPerMinute: MOST_MB_PER_MINUTE, met, controlCaught: caught },
    null,
    1,
  ),
);
if (!met || !caught) process.exitCode = 1;
