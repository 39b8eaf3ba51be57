import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { promisify } from 'node:util';
import type { Collectives } from './collectives.js';
import { gatherTexts } from './gatherTexts.js';

/** The CUDA device of each rank. */

/** The ranks of a machine and its devices do not fit together; the message has the numbers and the way out. */
class RankDeviceError extends Error {
  override readonly name = 'RankDeviceError';
}

/** What a process may use. */
export interface VisibleDevices {
  /** CUDA_VISIBLE_DEVICES, by which launchers give each process devices of its own. */
  readonly variable: string | undefined;
  /** Number of devices that CUDA shows to this process; undefined where neither the variable nor the driver tells. */
  readonly count: number | undefined;
  /** Their UUIDs, in CUDA's order; absent where nvidia-smi cannot tell. */
  readonly uuids?: readonly string[];
}

/** Asks nvidia-smi for the GPUs that this process may open: not those that Slurm's cgroup or a container hides. */
async function listByDriver(): Promise<string | undefined> {
  try {
    return (await promisify(execFile)('nvidia-smi', ['-L'], { timeout: 60_000 })).stdout;
  } catch {
    return undefined;
  }
}

/** The UUIDs of `nvidia-smi -L`; undefined for parts of GPUs (MIG), of which CUDA shows a process the first or the one that is named. */
function uuidsOf(list: string): string[] | undefined {
  if (/^\s+MIG /m.test(list)) return undefined;
  return Array.from(list.matchAll(/^GPU \d+: .*\(UUID: (GPU-[0-9a-f-]+)\)$/gm), ([, uuid]) => uuid!);
}

/**
 * Devices that CUDA shows to this process: those of CUDA_VISIBLE_DEVICES up to the first that is not one (-1 hides the rest), or all of
 * the driver's.
 * @param driver folder in which NVIDIA's Linux driver has a folder for each GPU
 * @param list prints the GPUs as `nvidia-smi -L` does; undefined if it cannot
 */
export async function visibleDevices(
  { CUDA_VISIBLE_DEVICES: variable }: Readonly<Record<string, string | undefined>>,
  driver = '/proc/driver/nvidia/gpus',
  list: () => Promise<string | undefined> = listByDriver,
): Promise<VisibleDevices> {
  const gpus = uuidsOf((await list()) ?? '') ?? [];
  const known = (uuids: readonly (string | undefined)[]) =>
    gpus.length > 0 && uuids.every((uuid) => uuid !== undefined) ? { uuids: uuids as readonly string[] } : {};
  if (variable !== undefined) {
    const names = namesOf(variable);
    // An index counts the GPUs that the process may open; a UUID may be cut short.
    const uuids = names.map((name) =>
      /^\d+$/.test(name) ? gpus[Number(name)] : gpus.find((gpu) => gpu.startsWith(name)),
    );
    return { variable, count: names.length, ...known(uuids) };
  }
  if (gpus.length > 0) return { variable, count: gpus.length, ...known(gpus) };
  const folders = await readdir(driver).catch(() => undefined);
  return { variable, count: folders?.length };
}

/** The devices that CUDA_VISIBLE_DEVICES names. */
function namesOf(variable: string): string[] {
  const names = variable.split(',').map((name) => name.trim());
  const end = names.findIndex((name) => name === '' || name.startsWith('-'));
  return end === -1 ? names : names.slice(0, end);
}

/** Names of a process' devices that tell the devices of a machine apart; undefined where their number is not known. */
function namesOfDevices({ variable, count, uuids }: VisibleDevices, byUuid: boolean): readonly string[] | undefined {
  if (byUuid) return uuids;
  if (variable !== undefined) return namesOf(variable);
  return count === undefined ? undefined : Array.from({ length: count }, (_, i) => String(i));
}

/**
 * The number of this rank's CUDA device, among those that it sees. Each rank of a machine takes the first that no rank before it has taken: in
 * order where all see the same devices, and those of its own where the launcher has bound it to some (`srun --gpus-per-task=1`). Devices are
 * compared by UUID: under Slurm each task may see its own as device 0. Where nvidia-smi cannot tell the UUIDs, by CUDA_VISIBLE_DEVICES.
 *
 * All ranks call it together.
 * @throws RankDeviceError on every rank, if a rank sees no device that is free: two on one card would share its memory.
 */
export async function deviceOfRank(
  collectives: Collectives,
  own: VisibleDevices,
  machine = hostname(),
): Promise<number | undefined> {
  const { rank, size, local } = collectives;
  if (size === 1) return undefined;
  const texts = await gatherTexts(collectives, JSON.stringify({ machine, local, ...own }));
  const all = texts.map(
    (text) => JSON.parse(text) as { machine: string; local: Collectives['local'] } & VisibleDevices,
  );
  const taken = new Set<string>();
  const devices = all.map((each) => {
    const neighbours = all.filter((other) => other.machine === each.machine);
    const names = namesOfDevices(
      each,
      neighbours.every(({ uuids }) => uuids !== undefined),
    );
    if (names === undefined) return each.local.rank;
    const device = names.findIndex((name) => !taken.has(`${each.machine}/${name}`));
    taken.add(`${each.machine}/${names[device]}`);
    return device;
  });
  const without = devices.indexOf(-1);
  if (without !== -1) {
    const { machine: where, local: among, count, variable } = all[without]!;
    const seen = variable === undefined ? '' : ` (CUDA_VISIBLE_DEVICES=${variable})`;
    throw new RankDeviceError(
      `rank ${without} has no GPU of its own: ${where} has ${among.size} ranks, and this one sees ${count} ${count === 1 ? 'GPU' : 'GPUs'}${seen}; ` +
        'start as many ranks on a machine as it has GPUs, or use --device cpu',
    );
  }
  return devices[rank];
}
