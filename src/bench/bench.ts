import type { Target } from './callers.js';
import { startChild } from './child.js';
import type { Load, LoadWindow, WindowLengths } from './load.js';
import type { GeneratedWindow } from './loadProcess.js';
import { imagesPerCall } from './methods.js';
import { median, quantile } from './quantile.js';
import type { RawSide } from './raw.js';
import { type Agreement, defaultAgreement, isStable } from './stability.js';

/** A plan of measurements. */
export interface BenchPlan {
  readonly target: Target;
  readonly loads: readonly Load[];
  readonly lengths: WindowLengths;
  /** Maximum number of windows per load. A load that is not stable by then is reported as such. */
  readonly maxWindows: number;
  readonly agreement?: Agreement;
  /** Raw sessions to compare with; each is measured for one window after every window of the load. */
  readonly raw?: readonly RawSide[];
  /** Returns the CPU seconds that the service has used so far; undefined if unknown. */
  readonly serviceCpu?: () => Promise<number | undefined>;
  /** Receives a line of text after every window. */
  readonly progress?: (text: string) => void;
}

/** Percentiles in milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Result of one load, over the last windows; these agree if `stable` is true. */
export interface LoadReport {
  readonly load: Load;
  readonly stable: boolean;
  /** Total number of measured windows. */
  readonly windows: number;
  /** Images per second of calls that ended OK. */
  readonly imagesPerSecond: number;
  readonly requestsPerSecond: number;
  /** Number of calls by status. */
  readonly codes: Readonly<Record<string, number>>;
  readonly latencyMs: Percentiles;
  /** By phase, as reported by the service. */
  readonly phasesMs: Readonly<Record<string, Percentiles>>;
  /** Delay of the generator; above a few ms, the generator is the bottleneck. Open loop only. */
  readonly latenessMs?: Percentiles;
  /** CPU milliseconds per image in the generator and in the service, including the ramp. */
  readonly cpuMsPerImage: { readonly generator: number; readonly service?: number };
}

function percentiles(lists: readonly Float64Array[]): Percentiles {
  const all = Float64Array.from(lists.flatMap((list) => [...list]));
  return { p50: quantile(all, 0.5), p90: quantile(all, 0.9), p99: quantile(all, 0.99) };
}

type MeasuredWindow = GeneratedWindow & { readonly serviceCpuSeconds: number | undefined };

/** Sums the numbers of calls by status over several windows. */
export function sumCodes(windows: readonly Pick<LoadWindow, 'codes'>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { codes } of windows) {
    for (const [code, count] of Object.entries(codes)) sums[code] = (sums[code] ?? 0) + count;
  }
  return sums;
}

function report(plan: BenchPlan, load: Load, all: readonly MeasuredWindow[], stable: boolean): LoadReport {
  const last = all.slice(-(plan.agreement ?? defaultAgreement).windows);
  const perCall = imagesPerCall(plan.target.method);
  const requestsPerSecond = median(last.map(({ completed, seconds }) => completed / seconds));
  // CPU time includes the ramp, completed calls do not.
  const { ramp, seconds } = plan.lengths;
  const imagesOf = ({ completed }: MeasuredWindow) => completed * perCall * ((ramp + seconds) / seconds);
  const phases = [...new Set(last.flatMap((window) => Object.keys(window.phases)))];
  const serviceCpu = last.map((window) => ((window.serviceCpuSeconds ?? Number.NaN) * 1e3) / imagesOf(window));
  return {
    load,
    stable,
    windows: all.length,
    imagesPerSecond: requestsPerSecond * perCall,
    requestsPerSecond,
    codes: sumCodes(last),
    latencyMs: percentiles(last.map(({ latencies }) => latencies)),
    phasesMs: Object.fromEntries(
      phases.map((phase) => [phase, percentiles(last.map((window) => window.phases[phase] ?? new Float64Array()))]),
    ),
    ...(load.kind === 'open' && { latenessMs: percentiles(last.map(({ lateness }) => lateness)) }),
    cpuMsPerImage: {
      generator: median(last.map((window) => (window.cpuSeconds * 1e3) / imagesOf(window))),
      ...(serviceCpu.every(Number.isFinite) && { service: median(serviceCpu) }),
    },
  };
}

const describeLoad = (load: Load): string =>
  load.kind === 'closed' ? `concurrency ${load.concurrency}` : `${load.rate} requests/s`;

/**
 * Measures a service under each load, in windows, until the last ones agree in rate and median latency. Each window is followed
 * by a window of every raw session, so that other processes on the machine affect both sides equally.
 * @throws Error if the load generator cannot connect, or ends.
 */
export async function bench(plan: BenchPlan): Promise<LoadReport[]> {
  const generator = startChild(new URL('./loadProcess.js', import.meta.url));
  try {
    await generator.ask({ kind: 'open', target: plan.target });
    const reports: LoadReport[] = [];
    for (const load of plan.loads) {
      const windows: MeasuredWindow[] = [];
      let stable = false;
      while (!stable && windows.length < plan.maxWindows) {
        // Each window of an open loop has different arrivals.
        const seeded = load.kind === 'open' ? { ...load, seed: load.seed + windows.length } : load;
        const before = await plan.serviceCpu?.();
        const window = await generator.ask<GeneratedWindow>({ kind: 'window', load: seeded, lengths: plan.lengths });
        const after = await plan.serviceCpu?.();
        const serviceCpuSeconds = before !== undefined && after !== undefined ? after - before : undefined;
        windows.push({ ...window, serviceCpuSeconds });
        for (const side of plan.raw ?? []) await side.window(plan.lengths.seconds);
        const rate = window.completed / window.seconds;
        plan.progress?.(`${describeLoad(load)}: ${rate.toFixed(1)} requests/s in window ${windows.length}`);
        stable = isStable(
          windows.map(({ completed, seconds, latencies }) => [completed / seconds, median(latencies)]),
          plan.agreement,
        );
      }
      reports.push(report(plan, load, windows, stable));
    }
    return reports;
  } finally {
    await generator.close();
  }
}
