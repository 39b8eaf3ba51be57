import type { Target } from './callers.js';
import { startChild } from './child.js';
import type { Load, LoadWindow, WindowLengths } from './load.js';
import type { GeneratedWindow } from './loadProcess.js';
import { imagesPerCall } from './methods.js';
import { median, quantile } from './quantile.js';
import type { RawSide } from './raw.js';
import { type Agreement, defaultAgreement, isStable } from './stability.js';

/** What is measured, and how long. */
export interface BenchPlan {
  readonly target: Target;
  readonly loads: readonly Load[];
  readonly lengths: WindowLengths;
  /** Most windows of one load; one that has not settled by then is reported as such. */
  readonly maxWindows: number;
  readonly agreement?: Agreement;
  /** Measured in turn with the service: a window each after every window of the load. */
  readonly raw?: readonly RawSide[];
  /** Processor seconds that the service has used so far, where that can be told. */
  readonly serviceCpu?: () => Promise<number | undefined>;
  /** Told of every window as it ends. */
  readonly progress?: (text: string) => void;
}

/** Milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** What one load came to, over the last windows, which agree where `stable` is true. */
export interface LoadReport {
  readonly load: Load;
  readonly stable: boolean;
  /** Windows measured in all. */
  readonly windows: number;
  /** Images a second of calls that were OK. */
  readonly imagesPerSecond: number;
  readonly requestsPerSecond: number;
  /** Calls by the status with which they ended. */
  readonly codes: Readonly<Record<string, number>>;
  readonly latencyMs: Percentiles;
  /** By phase, as the service told them. */
  readonly phasesMs: Readonly<Record<string, Percentiles>>;
  /** How late the generator sent: above a few ms it is the generator that is measured. Open loop only. */
  readonly latenessMs?: Percentiles;
  /** Processor milliseconds of one image, in the generator and in the service, ramp included. */
  readonly cpuMsPerImage: { readonly generator: number; readonly service?: number };
}

function percentiles(lists: readonly Float64Array[]): Percentiles {
  const all = Float64Array.from(lists.flatMap((list) => [...list]));
  return { p50: quantile(all, 0.5), p90: quantile(all, 0.9), p99: quantile(all, 0.99) };
}

type MeasuredWindow = GeneratedWindow & { readonly serviceCpuSeconds: number | undefined };

/** Calls of several windows by the status with which they ended. */
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
  // The processor worked during the ramp too.
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

const described = (load: Load): string =>
  load.kind === 'closed' ? `concurrency ${load.concurrency}` : `${load.rate} requests/s`;

/**
 * Measures a service under each load: windows until the last ones agree in rate and median latency, each followed by a
 * window of every raw session, so that other work on the machine disturbs both sides alike.
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
        // Every window of an open loop has arrivals of its own.
        const seeded = load.kind === 'open' ? { ...load, seed: load.seed + windows.length } : load;
        const before = await plan.serviceCpu?.();
        const window = await generator.ask<GeneratedWindow>({ kind: 'window', load: seeded, lengths: plan.lengths });
        const after = await plan.serviceCpu?.();
        const serviceCpuSeconds = before !== undefined && after !== undefined ? after - before : undefined;
        windows.push({ ...window, serviceCpuSeconds });
        for (const side of plan.raw ?? []) await side.window(plan.lengths.seconds);
        const rate = window.completed / window.seconds;
        plan.progress?.(`${described(load)}: ${rate.toFixed(1)} requests/s in window ${windows.length}`);
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
