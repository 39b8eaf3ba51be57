/**
 * Memory of the service under a mixed load for minutes: every method, malformed requests, calls that are given up, and reloads
 * of the model in the warm-up. Every 15 seconds the load pauses, garbage is collected, and what stays is measured: its slope
 * after the warm-up (V8 compiles for two minutes) must be below 1 MB a minute, and no worker that was replaced may be left;
 * the same run over a service that keeps 2 kB of every call must be caught, or the measurement could not see a leak. Exit code
 * 1 where either fails.
 *
 * To be run with the allocator of the image, LD_PRELOAD=.../libjemalloc.so.2: glibc's keeps what images and threads of other
 * sizes leave behind, and fills its gaps over ten minutes and more (docs/benchmarks.md).
 *
 *   node dist/scripts/soak.js [--minutes 5] [--warmup 3] [--control-minutes 2] [--concurrency 4] [-- FLAGS OF SERVE]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { treePids } from '../src/bench/processCpu.js';
import { median } from '../src/bench/quantile.js';
import { startService } from '../src/bench/serviceProcess.js';
import { residentMb, settle, settlingEnvironment } from '../test/support/settledMemory.js';
import { startSoakLoad } from './soak/load.js';

const MOST_MB_PER_MINUTE = 1;
/** How often memory is read under load, for its most. */
const WATCH_MS = 1000;
/** How often the load pauses. */
const PAUSE_EVERY_MS = 15_000;
/** The model is reloaded so often in the first half of the warm-up; later, new workers would hide what old ones had kept. */
const RELOAD_EVERY_MS = 10_000;

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '3' },
    'control-minutes': { type: 'string', default: '2' },
    concurrency: { type: 'string', default: '4' },
  },
});
const rounded = (value: number) => Number(value.toPrecision(3));

/** What leaks: an abort controller is made for every call. */
const leak = `const kept = [];
  globalThis.AbortController = class extends AbortController {
    constructor() {
      super();
      kept.push(Buffer.alloc(2048, 1));
    }
  };`;

/** Resident megabytes at a time in minutes. */
interface MemorySample {
  readonly minute: number;
  readonly mb: number;
}

/** Megabytes a minute: the median slope between all pairs of samples (Theil and Sen). */
function slope(samples: readonly MemorySample[]): number {
  return median(samples.flatMap((a, i) => samples.slice(i + 1).map((b) => (b.mb - a.mb) / (b.minute - a.minute))));
}

/**
 * @param script runs in each process of the service before its own
 * @returns slope after the warm-up, and what was asked
 */
async function soak(what: string, minutes: number, warmup: number, script = '') {
  Object.assign(process.env, settlingEnvironment(script));
  const service = await startService(['--log-level', 'info', ...serveFlags]);
  const processesAtStart = (await treePids(service.pid)).length;
  const start = performance.now();
  const minute = () => (performance.now() - start) / 60e3;
  const load = await startSoakLoad(service.address, Number(values.concurrency));
  try {
    while (minute() < warmup / 2) {
      await delay(RELOAD_EVERY_MS);
      process.kill(service.pid, 'SIGHUP');
    }
    await delay((warmup - minute()) * 60e3);
    const samples: MemorySample[] = [];
    let most = 0;
    const sample = async () => {
      const mb = await load.whilePaused(async () => {
        await settle(service.pid);
        return residentMb(service.pid);
      });
      samples.push({ minute: minute(), mb });
      console.error(`${what}, minute ${minute().toFixed(1)}: ${mb.toFixed(1)} MB`);
    };
    await sample();
    while (minute() < warmup + minutes) {
      for (let waited = 0; waited < PAUSE_EVERY_MS; waited += WATCH_MS) {
        await delay(WATCH_MS);
        most = Math.max(most, await residentMb(service.pid));
      }
      await sample();
    }
    await load.stop();
    return {
      what,
      minutes,
      calls: Object.values(load.codes).reduce((sum, count) => sum + count, 0),
      codes: load.codes,
      processes: { first: processesAtStart, last: (await treePids(service.pid)).length },
      settledMb: { first: rounded(samples[0]!.mb), last: rounded(samples.at(-1)!.mb) },
      mostMbUnderLoad: rounded(most),
      mbPerMinute: rounded(slope(samples)),
    };
  } finally {
    await service.stop();
  }
}

const service = await soak('service', Number(values.minutes), Number(values.warmup));
const control = await soak(
  'control that keeps 2 kB of every call',
  Number(values['control-minutes']),
  Number(values.warmup) / 2,
  leak,
);
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
