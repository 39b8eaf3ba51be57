import { readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
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
}

/**
 * Devices that CUDA shows to this process: those of CUDA_VISIBLE_DEVICES up to the first that is not one (-1 hides the rest), or all of
 * the driver's.
 * @param driver folder in which NVIDIA's Linux driver has a folder for each GPU
 */
export async function visibleDevices(
  { CUDA_VISIBLE_DEVICES: variable }: Readonly<Record<string, string | undefined>>,
  driver = '/proc/driver/nvidia/gpus',
): Promise<VisibleDevices> {
  if (variable !== undefined) {
    const names = variable.split(',').map((name) => name.trim());
    const end = names.findIndex((name) => name === '' || name.startsWith('-'));
    return { variable, count: end === -1 ? names.length : end };
  }
  const gpus = await readdir(driver).catch(() => undefined);
  return { variable, count: gpus?.length };
}

/**
 * The number of this rank's CUDA device. Ranks of one machine take its devices in order; where the launcher has given each rank devices of
 * its own (all have different CUDA_VISIBLE_DEVICES, as with `srun --gpus-per-task=1`), each takes its first.
 *
 * All ranks call it together.
 * @throws RankDeviceError on every rank, if a machine has more ranks than devices: two on one card would share its memory.
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
  const devices = all.map((each) => {
    const neighbours = all.filter((other) => other.machine === each.machine);
    const bound =
      each.variable !== undefined && new Set(neighbours.map(({ variable }) => variable)).size === neighbours.length;
    return bound ? 0 : each.local.rank;
  });
  const without = all.findIndex(({ count = Number.POSITIVE_INFINITY }, i) => devices[i]! >= count);
  if (without !== -1) {
    const { machine: where, local: among, count, variable } = all[without]!;
    const seen = variable === undefined ? '' : ` (CUDA_VISIBLE_DEVICES=${variable})`;
    throw new RankDeviceError(
      `rank ${without} has no GPU of its own: ${where} has ${among.size} ranks and ${count} ${count === 1 ? 'GPU' : 'GPUs'}${seen}; ` +
        'start as many ranks on a machine as it has GPUs, or use --device cpu',
    );
  }
  return devices[rank];
}
