import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { treePids } from '../../src/bench/processCpu.js';
import { median } from '../../src/bench/quantile.js';
import type { ServiceProcess } from '../../src/bench/serviceProcess.js';

/** Linux has pages of this many bytes on every platform that the service is built for. */
const PAGE_BYTES = 4096;
/** Until garbage is collected and the allocator has given back what that left. */
const SETTLE_MS = 2000;

/** Resident megabytes at a time in minutes. */
export interface MemorySample {
  readonly minute: number;
  readonly mb: number;
}

/** Script that runs in each process of the service before its own, so that `settledMb` can ask it to collect garbage. */
export const collectOnSignal = `process.on('SIGUSR2', () => gc());`;
/** Options of Node that such a script needs. */
export const collectOptions = '--expose-gc';
/** jemalloc gives free pages back within a second; by itself it takes ten. Other allocators do not read it. */
export const allocatorOptions = { MALLOC_CONF: 'dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true' };

/** Resident megabytes of the service with its workers. */
export async function residentMb(service: ServiceProcess): Promise<number> {
  const pages = await Promise.all(
    (await treePids(service.pid)).map(async (pid) =>
      Number((await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '0 0')).split(' ')[1]),
    ),
  );
  return (pages.reduce((sum, count) => sum + count, 0) * PAGE_BYTES) / 1e6;
}

/** The same when garbage has been collected: what stays. To be measured while nothing is asked. */
export async function settledMb(service: ServiceProcess): Promise<number> {
  for (const pid of await treePids(service.pid)) process.kill(pid, 'SIGUSR2');
  await delay(SETTLE_MS);
  return residentMb(service);
}

/** Megabytes a minute: the median slope between all pairs of samples (Theil and Sen). */
export function slope(samples: readonly MemorySample[]): number {
  return median(samples.flatMap((a, i) => samples.slice(i + 1).map((b) => (b.mb - a.mb) / (b.minute - a.minute))));
}
