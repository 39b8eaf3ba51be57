import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { stream } from '../tensor/random.js';

/** How one call ended. */
export interface Outcome {
  /** Name of the gRPC status, OK included. */
  readonly code: string;
  /** Milliseconds of each phase, as the service tells them; empty where it does not. */
  readonly phases: Readonly<Record<string, number>>;
}

/** Makes one call; never rejects. */
export type Caller = () => Promise<Outcome>;

/** How calls are made. */
export type Load =
  /** The next call of each of `concurrency` callers starts when its last one has ended. */
  | { readonly kind: 'closed'; readonly concurrency: number }
  /** Calls start at the times of a Poisson process of `rate` a second, whatever became of earlier ones. */
  | { readonly kind: 'open'; readonly rate: number; readonly seed: number };

export interface WindowLengths {
  /** Calls before this many seconds have passed only bring the service up to the load. */
  readonly ramp: number;
  /** Length of the measurement in seconds. */
  readonly seconds: number;
}

/** What one window measured. */
export interface LoadWindow {
  readonly seconds: number;
  /** Calls that ended OK within the window. */
  readonly completed: number;
  /** How the window's calls ended: those that ended in it (closed loop), or those that were due in it (open loop). */
  readonly codes: Readonly<Record<string, number>>;
  /** Milliseconds of those that were OK; in an open loop from the moment at which they were due. */
  readonly latencies: Float64Array;
  /** Milliseconds of each phase of those that were OK. */
  readonly phases: Readonly<Record<string, Float64Array>>;
  /** Open loop: how many ms late the generator sent each call. */
  readonly lateness: Float64Array;
}

/** Collects what falls into one window. */
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
      // A call that is refused at once must not keep the others from being answered.
      if (outcome.code !== 'OK') await nextTurn();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return record.window();
}

/**
 * Latency counts from the moment at which a call was due, not from when the generator came to send it: a service that
 * stalls would otherwise be asked less just then, and the stall be seen by one call in place of all that were due in it
 * (Tene's "coordinated omission").
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
    // Answers are read between calls also when the generator is behind.
    else await nextTurn();
    const sent = send(due).finally(() => running.delete(sent));
    running.add(sent);
  }
  await Promise.all(running);
  return record.window();
}

/** Puts a load on a service for a while; what is under way at the end is waited for. */
export function runWindow(call: Caller, load: Load, lengths: WindowLengths): Promise<LoadWindow> {
  return load.kind === 'closed' ? closedWindow(call, load.concurrency, lengths) : openWindow(call, load, lengths);
}
