import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { stream } from '../tensor/random.js';

/** Result of one call. */
export interface Outcome {
  /** Name of the gRPC status, including OK. */
  readonly code: string;
  /** Milliseconds of each phase, as reported by the service; empty if it reports none. */
  readonly phases: Readonly<Record<string, number>>;
}

/** Makes one call; never rejects. */
export type Caller = () => Promise<Outcome>;

/** The schedule of calls. */
export type Load =
  /** Closed loop: each of `concurrency` callers starts its next call when its previous one has ended. */
  | { readonly kind: 'closed'; readonly concurrency: number }
  /** Open loop: calls start at the times of a Poisson process of `rate` per second, independent of earlier calls. */
  | { readonly kind: 'open'; readonly rate: number; readonly seed: number };

export interface WindowLengths {
  /** Seconds before the measurement, in which the service reaches the load. */
  readonly ramp: number;
  /** Length of the measurement in seconds. */
  readonly seconds: number;
}

/** Measurements of one window. */
export interface LoadWindow {
  readonly seconds: number;
  /** Number of calls that ended OK within the window. */
  readonly completed: number;
  /** Number of calls by status: those that ended in the window (closed loop) or were scheduled in it (open loop). */
  readonly codes: Readonly<Record<string, number>>;
  /** Latency of each call that was OK, in ms; in an open loop from the scheduled time on. */
  readonly latencies: Float64Array;
  /** Time in ms of each phase of each call that was OK. */
  readonly phases: Readonly<Record<string, Float64Array>>;
  /** Open loop: delay of each call in the generator, in ms. */
  readonly lateness: Float64Array;
}

/** Collects the measurements of one window. */
function recorder(seconds: number) {
  const codes: Record<string, number> = {};
  const latencies: number[] = [];
  const phases: Record<string, number[]> = {};
  const lateness: number[] = [];
  let completed = 0;
  return {
    add(outcome: Outcome, latency: number, late?: number): void {
      codes[outcome.code] = (codes[outcome.code] ?? 0) + 1;
      if (late !== undefined) lateness.push(late);
      if (outcome.code !== 'OK') return;
      latencies.push(latency);
      for (const [phase, ms] of Object.entries(outcome.phases)) {
        phases[phase] ??= [];
        phases[phase].push(ms);
      }
    },
    complete(): void {
      completed++;
    },
    window: (): LoadWindow => ({
      seconds,
      completed,
      codes,
      latencies: Float64Array.from(latencies),
      phases: Object.fromEntries(Object.entries(phases).map(([name, list]) => [name, Float64Array.from(list)])),
      lateness: Float64Array.from(lateness),
    }),
  };
}

async function closedWindow(call: Caller, concurrency: number, { ramp, seconds }: WindowLengths): Promise<LoadWindow> {
  const record = recorder(seconds);
  const start = performance.now() + ramp * 1e3;
  const end = start + seconds * 1e3;
  const loop = async (): Promise<void> => {
    for (let sent = performance.now(); sent < end; sent = performance.now()) {
      const outcome = await call();
      const done = performance.now();
      if (done >= start && done < end) {
        record.add(outcome, done - sent);
        if (outcome.code === 'OK') record.complete();
      }
      // Immediate rejections must not starve the event loop, so that other responses are processed.
      if (outcome.code !== 'OK') await nextTurn();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return record.window();
}

/**
 * Latency is measured from the scheduled time of a call, not from the time at which it was sent. Otherwise a service that stalls
 * would receive fewer calls during the stall, and only one call would show it instead of all that were scheduled ("coordinated
 * omission", Gil Tene).
 */
async function openWindow(
  call: Caller,
  { rate, seed }: Load & { kind: 'open' },
  { ramp, seconds }: WindowLengths,
): Promise<LoadWindow> {
  const record = recorder(seconds);
  const random = stream(seed, 'arrivals');
  const begin = performance.now();
  const start = begin + ramp * 1e3;
  const end = start + seconds * 1e3;
  const running = new Set<Promise<void>>();
  const send = async (due: number): Promise<void> => {
    const late = performance.now() - due;
    const outcome = await call();
    const done = performance.now();
    if (due >= start) record.add(outcome, done - due, late);
    if (outcome.code === 'OK' && done >= start && done < end) record.complete();
  };
  for (let due = begin; due < end; due += (-Math.log(1 - random.uniform(0, 1)) / rate) * 1e3) {
    const wait = due - performance.now();
    if (wait > 1) await delay(wait);
    // Responses are processed between calls, even if the generator is late.
    else await nextTurn();
    const sent = send(due).finally(() => running.delete(sent));
    running.add(sent);
  }
  await Promise.all(running);
  return record.window();
}

/** Runs a load for one window, then waits for calls in progress. */
export function runWindow(call: Caller, load: Load, lengths: WindowLengths): Promise<LoadWindow> {
  return load.kind === 'closed' ? closedWindow(call, load.concurrency, lengths) : openWindow(call, load, lengths);
}
