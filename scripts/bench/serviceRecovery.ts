/**
 * Measures how the service recovers and how it rejects calls, under load, with the bundled model:
 *
 * - A worker is killed by SIGKILL: seconds until all workers are ready again (target: at most 2 s), and the statuses of the
 *   calls (target: only OK and UNAVAILABLE, and every call ends).
 * - Calls at twice the capacity: milliseconds until RESOURCE_EXHAUSTED, at the client and within the service (target: p99
 *   below 5 ms).
 * - SIGHUP: seconds until the old workers have exited, and failed calls (target: none).
 *
 *   node dist/scripts/bench/serviceRecovery.js [--parts kill,rejection,reload] [--workers 1,2] [--kills 5] [--reloads 3]
 *     [--callers 8] [--queue-images 8] [--seconds 15] [--model DIR] [-- FLAGS OF SERVE]
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, type Target } from '../../src/bench/callers.js';
import { type Caller, runWindow } from '../../src/bench/load.js';
import { machineName } from '../../src/bench/machine.js';
import { madePictures } from '../../src/bench/pictures.js';
import { treePids } from '../../src/bench/processCpu.js';
import { median, quantile } from '../../src/bench/quantile.js';
import { metricsText } from '../../src/bench/serviceMetrics.js';
import { type ServiceProcess, startService } from '../../src/bench/serviceProcess.js';
import { bundledModelFolder } from '../../src/cli/defaults.js';

/** Pause before a kill. A worker that dies earlier after its start is replaced only after a delay (wellMs in src/engine/workerPool.ts). */
const PAUSE_BEFORE_KILL_MS = 10_500;

const TARGETS = { recoverySeconds: 2, rejectionMs: 5 };

const { values, positionals: serveFlags } = parseArgs({
  allowPositionals: true,
  options: {
    parts: { type: 'string', default: 'kill,rejection,reload' },
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

/** A call that has ended. `sent` is a time of performance.now(). */
interface EndedCall {
  readonly code: string;
  readonly sent: number;
  readonly ms: number;
  /** Milliseconds within the service, from its own report. */
  readonly serverMs: number;
  /** Whether its image was decoded before it ended. */
  readonly decoded: boolean;
}

function recorded(call: Caller): { readonly ended: EndedCall[]; readonly call: Caller } {
  const ended: EndedCall[] = [];
  return {
    ended,
    async call() {
      const sent = performance.now();
      const outcome = await call();
      const { total: serverMs = Number.NaN, decode } = outcome.phases;
      ended.push({
        code: outcome.code,
        sent,
        ms: performance.now() - sent,
        serverMs,
        decoded: decode !== undefined,
      });
      return outcome;
    },
  };
}

/** Starts callers that each send their next call when the last one has ended, until `stop`. */
function startCallers(call: Caller, count: number): { stop(): Promise<void> } {
  let active = true;
  const loop = async (): Promise<void> => {
    while (active) if ((await call()).code !== 'OK') await delay(5);
  };
  const running = Array.from({ length: count }, loop);
  return {
    async stop() {
      active = false;
      await Promise.all(running);
    },
  };
}

function countCodes(calls: readonly EndedCall[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { code } of calls) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

const percentiles = (list: readonly number[]) => ({
  p50: rounded(quantile(list, 0.5)),
  p99: rounded(quantile(list, 0.99)),
  worst: rounded(Math.max(...list)),
});

/** Process ids of the workers, including those that are starting. */
async function workerPids({ pid }: ServiceProcess): Promise<number[]> {
  const pids = (await treePids(pid)).filter((id) => id !== pid);
  const lines = await Promise.all(pids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, i) => lines[i]!.includes('onnxWorker'));
}

/** Number of ready workers, and of replacements so far, from the metrics of the service. */
async function workersOf({ metricsAddress }: ServiceProcess): Promise<{ ready: number; restarts: number }> {
  const text = await metricsText(metricsAddress);
  const sum = (pattern: RegExp) => [...text.matchAll(pattern)].reduce((all, [, value]) => all + Number(value), 0);
  return {
    ready: sum(/^vicregl_workers\{.*state="(?:idle|busy)".*\} (\S+)$/gm),
    restarts: sum(/^vicregl_worker_restarts_total(?:\{.*\})? (\S+)$/gm),
  };
}

/** Starts a service, connects to it, and stops both after the work. */
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
    const recovery: number[] = [];
    const firstAnswer: number[] = [];
    for (let i = 0; i < Number(values.kills); i++) {
      await delay(PAUSE_BEFORE_KILL_MS);
      const pids = await workerPids(service);
      const { restarts } = await workersOf(service);
      const start = performance.now();
      process.kill(pids[i % pids.length]!, 'SIGKILL');
      for (;;) {
        const now = await workersOf(service);
        if (now.restarts > restarts && now.ready === workers) break;
        await delay(10);
      }
      recovery.push(performance.now() - start);
      // Only calls that were sent after the kill count: another worker may have started earlier ones before it.
      const answered = () => ended.filter(({ code, sent }) => code === 'OK' && sent > start);
      while (answered().length === 0) await delay(10);
      firstAnswer.push(Math.min(...answered().map(({ sent, ms }) => sent + ms)) - start);
      console.error(`${workers} workers, kill ${i + 1}: all ready after ${seconds(recovery.at(-1)!)} s`);
    }
    await callers.stop();
    const codes = countCodes(ended);
    const worst = Math.max(...recovery);
    return {
      workers,
      recoverySeconds: { median: seconds(median(recovery)), worst: seconds(worst), each: recovery.map(seconds) },
      firstAnswerSeconds: { median: seconds(median(firstAnswer)), worst: seconds(Math.max(...firstAnswer)) },
      codes,
      longestCallSeconds: seconds(Math.max(...ended.map(({ ms }) => ms))),
      met:
        worst < TARGETS.recoverySeconds * 1e3 &&
        Object.keys(codes).every((code) => ['OK', 'UNAVAILABLE'].includes(code)),
    };
  });
}

async function measureRejections() {
  return withService(['--queue-images', values['queue-images']], async (_, call) => {
    const lengths = { ramp: 1, seconds: Number(values.seconds) };
    const closed = { kind: 'closed', concurrency: Number(values.callers) } as const;
    const { completed, seconds: length } = await runWindow(call, closed, { ramp: 1, seconds: 4 });
    const capacity = completed / length;
    const { ended, call: callRecorded } = recorded(call);
    const window = await runWindow(callRecorded, { kind: 'open', rate: 2 * capacity, seed: 1 }, lengths);
    const rejected = ended.filter(({ code }) => code === 'RESOURCE_EXHAUSTED');
    const client = percentiles(rejected.map(({ ms }) => ms));
    const server = percentiles(rejected.map(({ serverMs }) => serverMs));
    const before = rejected.filter(({ decoded }) => !decoded);
    const after = rejected.filter(({ decoded }) => decoded);
    return {
      capacity: rounded(capacity),
      offered: rounded(2 * capacity),
      codes: countCodes(ended),
      rejected: rejected.length,
      rejectedAfterDecoding: after.length,
      clientMs: client,
      serverMs: server,
      ...(before.length > 0 && { beforeDecodingServerMs: percentiles(before.map(({ serverMs }) => serverMs)) }),
      ...(after.length > 0 && { afterDecodingServerMs: percentiles(after.map(({ serverMs }) => serverMs)) }),
      /** How late the generator sent calls. It shares the cores with the service. */
      generatorLatenessMs: percentiles([...window.lateness]),
      met: client.p99 < TARGETS.rejectionMs,
      metWithinService: server.p99 < TARGETS.rejectionMs,
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
      oldWorkersExitedSeconds: { median: seconds(median(times)), worst: seconds(Math.max(...times)) },
      codes,
      longestCallSeconds: seconds(Math.max(...ended.map(({ ms }) => ms))),
      met: Object.keys(codes).every((code) => code === 'OK'),
    };
  });
}

const parts = values.parts.split(',');
const report: Record<string, unknown> = {
  machine: machineName(),
  model: values.model.split('/').at(-1),
  callers: Number(values.callers),
  targets: TARGETS,
};
if (parts.includes('kill')) {
  const kills = [];
  for (const workers of values.workers.split(',')) kills.push(await measureKills(Number(workers)));
  report['kill'] = kills;
}
if (parts.includes('rejection')) report['rejection'] = await measureRejections();
if (parts.includes('reload')) report['reload'] = await measureReloads();
console.log(JSON.stringify(report, null, 1));
