import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { treePids } from '../../src/bench/processCpu.js';

/** Page size in bytes, which is the same on all Linux platforms that the service supports. */
const PAGE_BYTES = 4096;
/** Time until garbage is collected and the allocator has returned the freed pages. */
const SETTLE_MS = 2000;

/**
 * Environment of a service whose memory is measured by `settle`.
 * @param script code that each of its processes runs before its own
 */
export function settlingEnvironment(script = ''): { readonly NODE_OPTIONS: string; readonly MALLOC_CONF: string } {
  const source = `process.on('SIGUSR2', () => gc()); ${script}`;
  return {
    NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${encodeURIComponent(source)}`,
    // Makes jemalloc return free pages within one second instead of ten. Other allocators ignore the variable.
    MALLOC_CONF: 'dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true',
  };
}

/**
 * Collects the garbage of a service and its workers, so that only retained memory is left. Call it while no request is in
 * flight.
 */
export async function settle(pid: number): Promise<void> {
  for (const one of await treePids(pid)) process.kill(one, 'SIGUSR2');
  await delay(SETTLE_MS);
}

/** Resident memory of a process in MB; 0 if it has ended. */
export async function processMb(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '0 0');
  return (Number(text.split(' ')[1]) * PAGE_BYTES) / 1e6;
}

/** Resident memory of a service and its workers in MB. */
export async function residentMb(pid: number): Promise<number> {
  const each = await Promise.all((await treePids(pid)).map(processMb));
  return each.reduce((sum, mb) => sum + mb, 0);
}
