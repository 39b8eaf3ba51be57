import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { posix } from 'node:path';

/** The memory that this process may use, and what limits it. */
export interface MachineMemory {
  readonly bytes: number;
  readonly limit: 'machine' | 'cgroup';
}

/** A group's path with those above it, the root's last. */
function upwards(path: string): string[] {
  const above = posix.dirname(path);
  return above === path ? [path] : [path, ...upwards(above)];
}

/**
 * Files that may hold a limit of a process's memory. Limits of all groups above count too, and inside a container the path may be
 * the host's, of which only the root is mounted.
 * @param groups content of /proc/self/cgroup: `0::/path` for version 2, `4:memory:/path` for version 1.
 */
function limitFiles(groups: string): string[] {
  return groups.split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    if (controllers === '') {
      return upwards(path).flatMap((group) =>
        ['cgroup', 'cgroup/unified'].map((mount) => posix.join('sys/fs', mount, group, 'memory.max')),
      );
    }
    if (!controllers.split(',').includes('memory')) return [];
    return upwards(path).map((group) => posix.join('sys/fs/cgroup/memory', group, 'memory.limit_in_bytes'));
  });
}

/**
 * The memory of the machine, or less where a cgroup (a container, a systemd unit) allows less. A file that is not there or
 * contains `max` is no limit, and neither is one beyond the machine's memory, as version 1 writes it.
 * @param root of the file system; of another one in tests.
 */
export async function machineMemory(root = '/', total = totalmem()): Promise<MachineMemory> {
  const read = (path: string) => readFile(posix.join(root, path), 'utf8').catch(() => '');
  const texts = await Promise.all(limitFiles(await read('proc/self/cgroup')).map(read));
  const limits = texts.filter((text) => /^\d+\s*$/.test(text)).map(Number);
  const smallest = Math.min(...limits);
  return smallest < total ? { bytes: smallest, limit: 'cgroup' } : { bytes: total, limit: 'machine' };
}
