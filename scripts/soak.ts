/**
 * Looks for memory leaks: runs the service under a mixed load for minutes. The load has every method, malformed requests,
 * cancelled calls, and reloads of the model during the warm-up.
 *
 * Every 15 seconds the load pauses, garbage is collected, and the resident memory is sampled. Two conditions must hold:
 * - after the warm-up (V8 compiles for two minutes), memory grows by less than 1 MB a minute;
 * - the service has as many processes at the end as at the start: no replaced worker is left.
 *
 * A control run shows that the measurement can see a leak: a service that keeps 2 kB of every call must fail the first
 * condition. The exit code is 1 when the service fails or the control passes.
 *
 * Run it with the allocator of the container image, LD_PRELOAD=.../libjemalloc.so.2. The allocator of glibc keeps the memory
 * of images and threads of other sizes, and fills its gaps only over ten minutes or more (docs/benchmarks.md).
 *
 *   node dist/scripts/soak.js [--minutes 5] [--warmup 3] [--control-minutes 2] [--concurrency 4] [-- FLAGS OF SERVE]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type MemorySample, mbPerMinute } from '../src/bench/growth.js';
import { treePids } from '../src/bench/processCpu.js';
import { startService } from '../src/bench/serviceProcess.js';
import { residentMb, settle, settlingEnvironment } from '../test/support/settledMemory.js';
import { startSoakLoad } from './soak/load.js';

const MAX_MB_PER_MINUTE = 1;
/** Interval at which memory is read under load, for the maximum. */
const READ_EVERY_MS = 1000;
/** Interval at which the load pauses and memory is sampled. */
const PAUSE_EVERY_MS = 15_000;
/** Interval of reloads, in the first half of the warm-up only: a later reload would replace workers and hide their leaks. */
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

/** The leak of the control run. The service makes an abort controller for every call. */
const leakScript = `const kept = [];
  globalThis.AbortController = class extends AbortController {
    constructor() {
      super();
      kept.push(Buffer.alloc(2048, 1));
    }
  };`;

/**
 * Runs the load against one service.
 * @param script code that each process of the service runs before its own
 * @returns growth after the warm-up, and the calls by status
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
    let maxMb = 0;
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
      for (let waited = 0; waited < PAUSE_EVERY_MS; waited += READ_EVERY_MS) {
        await delay(READ_EVERY_MS);
        maxMb = Math.max(maxMb, await residentMb(service.pid));
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
      maxMbUnderLoad: rounded(maxMb),
      mbPerMinute: rounded(mbPerMinute(samples)),
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
  leakScript,
);
const { processes } = service;
const passed = service.mbPerMinute < MAX_MB_PER_MINUTE && processes.last === processes.first;
const controlFailed = control.mbPerMinute >= MAX_MB_PER_MINUTE;
console.log(
  JSON.stringify({ runs: [service, control], limitMbPerMinute: MAX_MB_PER_MINUTE, passed, controlFailed }, null, 1),
);
if (!passed || !controlFailed) process.exitCode = 1;
