/**
 * How the service comes back and how it refuses, under load, with the bundled model:
 *
 * - a worker killed by SIGKILL: seconds until all workers stand again (target: 2 s at worst), and what callers got
 *   meanwhile (OK and UNAVAILABLE alone, and every call ends);
 * - calls at twice the capacity: milliseconds from a call to RESOURCE_EXHAUSTED, as its caller sees it and within the
 *   service (target: 5 ms at p99);
 * - SIGHUP: seconds until the old workers have ended, and failed calls (target: none).
 *
 *   node dist/scripts/bench/serviceRecovery.js [--parts kill,refusal,reload] [--workers 1,2] [--kills 5] [--reloads 3]
 *     [--callers 8] [--queue-images 8] [--seconds 15] [--model DIR] [-- FLAGS OF SERVE]
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, type Target } from '../../src/bench/callers.js';
import { type Caller, runWindow } from '../../src/bench/load.js';
import { madePictures } from '../../src/bench/pictures.js';
import { treePids } from '../../src/bench/processCpu.js';
import { median, quantile } from '../../src/bench/quantile.js';
import { metricsText } from '../../src/bench/serviceMetrics.js';
import { type ServiceProcess, startService } from '../../src/bench/serviceProcess.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';

/** A worker that died sooner than this after its start is replaced after a pause: see wellMs of src/engine/workerPool.ts. */
const WELL_MS = 10_500;

const TARGETS = { wholeSeconds: 2, refusalMs: 5 };

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    parts: { type: 'string', default: 'kill,refusal,reload' },
    workers: { type: 'string', default: '1,2' },
    kills: { type: 'string', default: '5' },
    reloads: { type: 'string', default: '3' },
    callers: { type: 'string', default: '8' },
    'queue-images': { type: 'string', default: '8' },
    seconds: { type: 'string', default: '15' },
    model: {
      type: 'string',
      default: bundledModelFolder,
    },
  },
});
const rounded = (value: number) => Number(value.toPrecision(3));
const seconds = (ms: number) => rounded(ms / 1e3);

/** A call that has ended; times as performance.now(). */
interface Ended {
  readonly code: string;
  readonly sent: number;
  readonly ms: number;
  /** Milliseconds within the service, as it says itself. */
  readonly insideMs: number;
  /** Whether its image was decoded before it ended. */
  readonly decoded: boolean;
}

function recorded(call: Caller): { readonly ended: Ended[]; readonly call: Caller } {
  const ended: Ended[] = [];
  return {
    ended,
    async call() {
      const sent = performance.now();
      const outcome = await call();
      const { total: insideMs = Number.NaN, decode } = outcome.phases;
      ended.push({
        code: outcome.code,
        sent,
        ms: performance.now() - sent,
        insideMs,
        decoded: decode !== undefined,
      });
      return outcome;
    },
  };
}

/** Callers that send their next call when the last has ended, until they are stopped. */
function startCallers(call: Caller, count: number): { stop(): Promise<void> } {
  let on = true;
  const loop = async (): Promise<void> => {
    while (on) if ((await call()).code !== 'OK') await delay(5);
  };
  const running = Array.from({ length: count }, loop);
  return {
    async stop() {
      on = false;
      await Promise.all(running);
    },
  };
}

function countCodes(calls: readonly Ended[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { code } of calls) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

const percentiles = (list: readonly number[]) => ({
  p50: rounded(quantile(list, 0.5)),
  p99: rounded(quantile(list, 0.99)),
  worst: rounded(Math.max(...list)),
});

/** Process ids of the workers, standing or not yet. */
async function workerPids({ pid }: ServiceProcess): Promise<number[]> {
  const pids = (await treePids(pid)).filter((id) => id !== pid);
  const lines = await Promise.all(pids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, i) => lines[i]!.includes('onnxWorker'));
}

/** Workers that stand, and replacements so far, by the service's own metrics. */
async function workersOf({ metricsAddress }: ServiceProcess): Promise<{ standing: number; restarts: number }> {
  const text = await metricsText(metricsAddress);
  const sum = (pattern: RegExp) => [...text.matchAll(pattern)].reduce((all, [, value]) => all + Number(value), 0);
  return {
    standing: sum(/^vicregl_workers\{.*state="(?:idle|busy)".*\} (\S+)$/gm),
    restarts: sum(/^vicregl_worker_restarts_total(?:\{.*\})? (\S+)$/gm),
  };
}

/** A service with connections to it, ended after the work. */
async function withService<T>(
  flags: readonly string[],
  work: (service: ServiceProcess, call: Caller) => Promise<T>,
): Promise<T> {
  const service = await startService(['--model', values.model, ...flags, ...serveFlags]);
  try {
    const target: Target = {
      address: service.address,
      method: 'Embed',
      images: await madePictures(),
      deadlineMs: 60_000,
      connections: 4,
    };
    const connected = await connect(target);
    try {
      return await work(service, connected.call);
    } finally {
      connected.close();
    }
  } finally {
    await service.stop();
  }
}

async function measureKills(workers: number) {
  return withService(['--workers', String(workers)], async (service, call) => {
    const { ended, call: callRecorded } = recorded(call);
    const callers = startCallers(callRecorded, Number(values.callers));
    const whole: number[] = [];
    const firstAnswer: number[] = [];
    for (let i = 0; i < Number(values.kills); i++) {
      await delay(WELL_MS);
      const pids = await workerPids(service);
      const { restarts } = await workersOf(service);
      const start = performance.now();
      process.kill(pids[i % pids.length]!, 'SIGKILL');
      for (;;) {
        const now = await workersOf(service);
        if (now.restarts > restarts && now.standing === workers) break;
        await delay(10);
      }
      whole.push(performance.now() - start);
      // Sent after the death: what another worker had begun before it does not count.
      const answered = () => ended.filter(({ code, sent }) => code === 'OK' && sent > start);
      while (answered().length === 0) await delay(10);
      firstAnswer.push(Math.min(...answered().map(({ sent, ms }) => sent + ms)) - start);
      console.error(`${workers} workers, kill ${i + 1}: whole again after ${seconds(whole.at(-1)!)} s`);
    }
    await callers.stop();
    const codes = countCodes(ended);
    const worst = Math.max(...whole);
    return {
      workers,
      wholeAgainSeconds: { median: seconds(median(whole)), worst: seconds(worst), each: whole.map(seconds) },
      firstAnswerSeconds: { median: seconds(median(firstAnswer)), worst: seconds(Math.max(...firstAnswer)) },
      codes,
      longestCallSeconds: seconds(Math.max(...ended.map(({ ms }) => ms))),
      met:
        worst < TARGETS.wholeSeconds * 1e3 && Object.keys(codes).every((code) => ['OK', 'UNAVAILABLE'].includes(code)),
    };
  });
}

async function measureRefusals() {
  return withService(['--queue-images', values['queue-images']], async (_, call) => {
    const lengths = { ramp: 1, seconds: Number(values.seconds) };
    const closed = { kind: 'closed', concurrency: Number(values.callers) } as const;
    const { completed, seconds: length } = await runWindow(call, closed, { ramp: 1, seconds: 4 });
    const capacity = completed / length;
    const { ended, call: callRecorded } = recorded(call);
    const window = await runWindow(callRecorded, { kind: 'open', rate: 2 * capacity, seed: 1 }, lengths);
    const refused = ended.filter(({ code }) => code === 'RESOURCE_EXHAUSTED');
    const client = percentiles(refused.map(({ ms }) => ms));
    const inside = percentiles(refused.map(({ insideMs }) => insideMs));
    const before = refused.filter(({ decoded }) => !decoded);
    const after = refused.filter(({ decoded }) => decoded);
    return {
      capacity: rounded(capacity),
      offered: rounded(2 * capacity),
      codes: countCodes(ended),
      refused: refused.length,
      refusedAfterDecoding: after.length,
      clientMs: client,
      insideMs: inside,
      ...(before.length > 0 && { beforeDecodingInsideMs: percentiles(before.map(({ insideMs }) => insideMs)) }),
      ...(after.length > 0 && { afterDecodingInsideMs: percentiles(after.map(({ insideMs }) => insideMs)) }),
      /** How late the generator itself was, on the same cores. */
      generatorLatenessMs: percentiles([...window.lateness]),
      met: client.p99 < TARGETS.refusalMs,
      metWithinTheService: inside.p99 < TARGETS.refusalMs,
    };
  });
}

async function measureReloads() {
  return withService([], async (service, call) => {
    const { ended, call: callRecorded } = recorded(call);
    const callers = startCallers(callRecorded, Number(values.callers));
    const times: number[] = [];
    for (let i = 0; i < Number(values.reloads); i++) {
      await delay(1000);
      const old = await workerPids(service);
      const start = performance.now();
      process.kill(service.pid, 'SIGHUP');
      for (let pids = old; pids.some((pid) => old.includes(pid)); pids = await workerPids(service)) await delay(10);
      times.push(performance.now() - start);
      console.error(`reload ${i + 1}: ${seconds(times.at(-1)!)} s`);
    }
    await delay(1000);
    await callers.stop();
    const codes = countCodes(ended);
    return {
      oldWorkersGoneSeconds: { median: seconds(median(times)), worst: seconds(Math.max(...times)) },
      codes,
      longestCallSeconds: seconds(Math.max(...ended.map(({ ms }) => ms))),
      met: Object.keys(codes).every((code) => code === 'OK'),
    };
  });
}

const parts = values.parts.split(',');
const report: Record<string, unknown> = {
  machine: `${availableParallelism()} x ${cpus()[0]?.model.trim()}`,
  model: values.model.split('/').at(-1),
  callers: Number(values.callers),
  targets: TARGETS,
};
if (parts.includes('kill')) {
  const kills = [];
  for (const workers of values.workers.split(',')) kills.push(await measureKills(Number(workers)));
  report['kill'] = kills;
}
if (parts.includes('refusal')) report['refusal'] = await measureRefusals();
if (parts.includes('reload')) report['reload'] = await measureReloads();
console.log(JSON.stringify(report, null, 1));
