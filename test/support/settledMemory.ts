import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { treePids } from '../../src/bench/processCpu.js';

/** Linux has pages of this many bytes on every platform that the service is built for. */
const PAGE_BYTES = 4096;
/** Until garbage is collected and the allocator has given back what that left. */
const SETTLE_MS = 2000;

/**
 * Environment of a service whose memory is to be measured by `settle`.
 * @param script runs in each of its processes before their own
 */
export function settlingEnvironment(script = ''): { readonly NODE_OPTIONS: string; readonly MALLOC_CONF: string } {
  const source = `process.on('SIGUSR2', () => gc()); ${script}`;
  return {
    NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${encodeURIComponent(source)}`,
    // jemalloc gives free pages back within a second; by itself it takes ten. Other allocators do not read it.
    MALLOC_CONF: 'dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true',
  };
}

/**
 * Collects the garbage of a service and of its workers, so that what they hold is what stays. To be awaited while nothing is
 * asked of it.
 */
export async function settle(pid: number): Promise<void> {
  for (const one of await treePids(pid)) process.kill(one, 'SIGUSR2');
  await delay(SETTLE_MS);
}

/** Resident megabytes of a service with its workers. */
export async function residentMb(pid: number): Promise<number> {
  const pages = await Promise.all(
    (await treePids(pid)).map(async (one) =>
      Number((await readFile(`/proc/${one}/statm`, 'utf8').catch(() => '0 0')).split(' ')[1]),
    ),
  );
  return (pages.reduce((sum, count) => sum + count, 0) * PAGE_BYTES) / 1e6;
}
